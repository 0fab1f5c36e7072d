"""A network spread over machines, for the tests: ``python -m tests.placement.spread PLACES WHAT``.

commands '{"vm1": "ping ..."}'    runs them and prints what each has printed, as JSON
ending                            starts a program on each node, ends it, and waits for that
"""

from __future__ import annotations

import argparse
import json

import topologies
from topologies import placement
from topologies.testbed import Testbed
from topologies.two_hypervisors import TwoHypervisors
from topologies.waiting import wait_until

# Nobody else's: it is looked for by its words.
_PROGRAM = ["sleep", "86399"]


def run_commands(net: Testbed, commands: dict[str, str]) -> None:
    """Run commands as a user would, from the node's shell."""
    print(json.dumps({node: net[node].cmd(words) for node, words in commands.items()}))


def end_programs(net: Testbed) -> None:
    """End programs on nodes by their Popen, here and there."""
    for name in ("vm1", "vm3"):
        node = net[name]
        program = node.popen(_PROGRAM)
        wait_until(lambda: is_running(node), 20, f"{name}: the program's start")
        program.terminate()
        program.wait()
        wait_until(lambda: not is_running(node), 20, f"{name}: the program's end")


def is_running(node: object) -> bool:
    """Tell whether the program runs on a node's machine."""
    argv = ["pgrep", "--full", "--exact", " ".join(_PROGRAM)]
    return bool(node.popen(argv).wait() == 0)  # type: ignore[attr-defined]


def main() -> None:
    """Do what is asked for on a network that is up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--place", action="append", default=[])
    parser.add_argument("what", choices=("commands", "ending"))
    parser.add_argument("commands", nargs="?", type=json.loads)
    asked = parser.parse_args()
    topo = TwoHypervisors(placement=placement.from_words(asked.place))
    with topologies.running(topo) as net:
        if asked.what == "commands":
            run_commands(net, asked.commands)
        else:
            end_programs(net)


if __name__ == "__main__":
    main()
