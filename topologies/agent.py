"""A run's part on another machine: ``python -m topologies.agent``, at the end of an SSH connection.

    agent RUN_DIRECTORY DATAPATH    has the run open from "ready" to the end of its input

The run is one like those of its own machine: with a lock, with a mark on its processes, and
removed by the next if this program is killed. What it cannot do is told in one line.
"""

from __future__ import annotations

import sys
from pathlib import Path

from topologies import requirements, signals
from topologies.errors import TopologyError
from topologies.options import Datapath, Options
from topologies.run import Run


def hold(directory: Path, datapath: Datapath) -> None:
    """Have a run open until the connection ends; raises TopologyError."""
    wanted = Options(datapath=datapath, run_dir_root=directory.parent)
    options = requirements.check(wanted)
    signals.exit_on_sigterm()
    with signals.deferred():
        run = Run.open(options, directory.name)
    try:
        print("ready", flush=True)
        sys.stdin.read()
    finally:
        run.close()


def main() -> int:
    """Do what the other machine asks for."""
    directory, datapath = sys.argv[1:]
    try:
        hold(Path(directory), Datapath(datapath))
    except TopologyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
