"""Mininet's prompt on a topology: what the ready-made ones are as programs.

parser = prompt.parser("topologies.two_hypervisors", "Two hypervisors ...")
sys.exit(prompt.run(parser, lambda arguments: TwoHypervisors(), BANNER))
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from mininet.cli import CLI
from mininet.topo import Topo

from topologies.errors import TopologyError
from topologies.options import add_arguments, from_arguments
from topologies.testbed import running_with

WITH_FILTERS = """\
Filters are loaded (topologies/filters/); prio 1 is free for yours.
"""
WITHOUT_FILTERS = "No filters are loaded: every packet goes to the stack.\n"


class Prompt(CLI):
    """Mininet's prompt; commands from a pipe do not go into the user's history file."""

    @classmethod
    def initReadline(cls) -> None:
        """Read and keep a history where somebody is typing."""
        if sys.stdin.isatty():
            super().initReadline()


def parser(module: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of a run; a topology may add its own."""
    made = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=f"{description}, and a prompt on it.",
        epilog="At the prompt: hv1 tc -s filter show dev ens1f0_0 ingress; exit",
    )
    add_arguments(made)
    return made


def run(
    parser: argparse.ArgumentParser,
    make: Callable[[argparse.Namespace], Topo],
    banner: str,
) -> int:
    """Open a prompt on the network that the arguments describe; returns the exit code."""
    arguments = parser.parse_args()
    try:
        options = from_arguments(arguments)
        with running_with(make(arguments), options) as net:
            told = WITH_FILTERS if options.filters else WITHOUT_FILTERS
            print(banner.format(filters=told))
            Prompt(net)
    except TopologyError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
