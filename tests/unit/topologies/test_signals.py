"""Signals while a network is up."""

import signal
import threading
from collections.abc import Iterator

import pytest

from topologies import signals


@pytest.fixture(autouse=True)
def sigint_as_python_has_it() -> Iterator[None]:
    """Whatever started the tests: a shell's background job ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_sigterm_ends_the_block_as_an_exit() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, signals.clean_exit_on_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_handler_that_is_there_stays() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: seen.append(number))
    try:
        with signals.clean_exit_on_sigterm():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_deferred_until_the_end_of_the_block() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt), signals.deferred():
        signal.raise_signal(signal.SIGINT)
        done = True
    assert done


def test_deferred_within_deferred() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), signals.deferred():
        with signals.deferred():
            signal.raise_signal(signal.SIGINT)
            reached.append("inner")
        reached.append("outer")
    assert reached == ["inner", "outer"]


def test_other_threads_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        with signals.clean_exit_on_sigterm(), signals.deferred():
            assert signal.getsignal(signal.SIGTERM) is before

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
