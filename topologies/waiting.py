"""Waiting for a condition: with a deadline, and with a name for the error."""

from __future__ import annotations

import time
from collections.abc import Callable

from topologies.errors import NotReady

_POLL_S = 0.005


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Return once ``condition()`` holds; raise NotReady(what) at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            raise NotReady(f"{what}: not within {timeout_s:g} s")
        time.sleep(_POLL_S)
