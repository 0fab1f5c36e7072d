"""Signals while a network is up: one ends it cleanly, none ends its end.

Only the main thread may set handlers (Python's rule); elsewhere these do nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGTERM, signal.SIGHUP)


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def exit_on_sigterm() -> list[signal.Signals]:
    """Make SIGTERM and SIGHUP raise SystemExit; return those that were changed.

    A handler somebody has set, and a signal ignored (nohup), stay as they are.
    """
    if not _in_main_thread():
        return []
    changed = [
        number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in changed:
        signal.signal(number, _exit)
    return changed


@contextmanager
def clean_exit_on_sigterm() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP unwind the stack as Ctrl-C does."""
    changed = exit_on_sigterm()
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def deferred() -> Iterator[None]:
    """Hold Ctrl-C, SIGTERM and SIGHUP back until the end of the block.

    Blocking them (pthread_sigmask) would be inherited by the processes started within.
    """
    if not _in_main_thread():
        yield
        return
    arrived: list[int] = []
    held = (signal.SIGINT, *_ENDING)
    before = {number: signal.getsignal(number) for number in held}
    for number in held:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, lambda arriving, _frame: arrived.append(arriving))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for first in arrived[:1]:
            signal.raise_signal(first)
