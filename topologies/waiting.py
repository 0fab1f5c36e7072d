"""Waiting for a condition: with a deadline, and with a name for the error.

Deadlines are those of an ordinary machine. One that is slower (an emulated processor takes
twenty times as long) says by how much in CT_OFFLOAD_PATIENCE, and every deadline of the
topologies and of the tests is multiplied by it. Nothing takes longer for that but failing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from topologies.errors import NotReady

PATIENCE = float(os.environ.get("CT_OFFLOAD_PATIENCE") or 1)
_POLL_S = 0.005


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Return once ``condition()`` holds; raise NotReady(what) at the deadline."""
    timeout_s *= PATIENCE
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            raise NotReady(f"{what}: not within {timeout_s:g} s")
        time.sleep(_POLL_S)
