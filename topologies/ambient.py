"""The run of a network that somebody else builds (``mn --custom``).

Mininet makes the controller first, and the nodes without telling them about it.
So there the controller begins a run, and the nodes find it here. A network that
``running`` builds has no part in this: it hands its run to each of its nodes.
"""

from __future__ import annotations

import atexit
from typing import Any

from topologies import requirements, signals
from topologies.errors import TopologyError
from topologies.options import Options
from topologies.run import Run

_current: list[Run] = []


def begin(words: dict[str, Any]) -> Run:
    """Begin the run of this process; it ends with the process.

    Exits with one line if that cannot be: an exception would have ``mn`` clean up
    the whole machine (``mn -c``), other runs of Mininet included.
    """
    try:
        options = requirements.check(Options.from_words(**words))
        with signals.deferred():
            run = Run.open(options)
            atexit.register(run.close)
    except TopologyError as error:
        raise SystemExit(f"ct_offload: {error}") from None
    signals.exit_on_sigterm()
    _current.append(run)
    return run


def current() -> Run:
    """Return the run that the controller of this process began."""
    if not _current:
        raise SystemExit(
            "this topology needs its controller: mn ... --controller ct_offload"
        )
    return _current[-1]
