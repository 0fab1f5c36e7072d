"""A command line being read, one word after the other, as tc reads it.

tc speaks while it reads: an inner parser says why, the outer ones add what it
was part of, and the last one leaves.  So what is said is kept in order on the
cursor, and the exceptions only carry how tc leaves.
Source: iproute2 include/utils.h:NEXT_ARG, lib/utils.c
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from offload.errors import KernelError, TcError


class Refusal(TcError):
    """What tc says on stderr, and the exit code it leaves with.

    0 is ``help``; 1 and 255 depend on which of tc's functions found the fault.
    """

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class Declined(Exception):
    """A parser returned -1: its callers may add a line (internal)."""


class Left(Exception):
    """tc called ``exit()``: nobody adds anything (internal)."""

    def __init__(self, exit_code: int = 255) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Words:
    """A cursor over the words; ``word`` may only be asked while ``left``.

    A parser that looked ahead in vain puts ``place`` back.
    """

    def __init__(
        self,
        argv: Sequence[str],
        device_exists: Callable[[str], bool] = lambda device: True,
    ) -> None:
        self._argv = argv
        self.place = 0
        self.said: list[str] = []
        self.kernel_error: KernelError | None = None
        self.device_exists = device_exists

    @property
    def left(self) -> int:
        """How many words are left, this one included."""
        return len(self._argv) - self.place

    @property
    def word(self) -> str:
        """The word under the cursor."""
        return self._argv[self.place]

    def matches(self, *keywords: str) -> bool:
        """Whether there is a word and it abbreviates one of ``keywords``."""
        if self.place >= len(self._argv):
            return False
        word = self._argv[self.place]
        for keyword in keywords:
            if abbreviates(word, keyword):
                return True
        return False

    def skip(self) -> None:
        """Go past this word, maybe to the end."""
        self.place += 1

    def next(self) -> str:
        """Go to the next word, which must be there."""
        self.place += 1
        if self.left <= 0:
            self.leave('Command line is not complete. Try option "help"')
        return self.word

    def mark(self) -> tuple[int, str]:
        """Words left and the one here, as ``parse_action`` prints them."""
        return self.left, self.word if self.left else "(null)"

    def say(self, *lines: str) -> None:
        """Add to what tc prints on stderr."""
        self.said.extend(lines)

    def decline(self, *lines: str) -> NoReturn:
        """Say so and return -1."""
        self.say(*lines)
        raise Declined

    def leave(self, *lines: str, exit_code: int = 255) -> NoReturn:
        """Say so and exit."""
        self.say(*lines)
        raise Left(exit_code)

    def wrong(self, argument: str, why: str) -> NoReturn:
        """Source: lib/utils.c:invarg"""
        self.leave(f'Error: argument "{argument}" is wrong: {why}')

    def duplicate(self, keyword: str) -> NoReturn:
        """Source: lib/utils.c:duparg"""
        self.leave(f'Error: duplicate "{keyword}": "{self.word}" is the second value.')

    def kernel_will_refuse(self, error: KernelError) -> None:
        """Keep the first thing that no value can express but the kernel refuses.

        tc reads to the end first: its own errors come before the kernel's.
        """
        self.kernel_error = self.kernel_error or error


def abbreviates(word: str, keyword: str) -> bool:
    """Whether ``word`` is a non-empty prefix.  Source: lib/utils.c:matches"""
    return bool(word) and keyword.startswith(word)


def abbreviations(keywords: Iterable[str]) -> dict[str, str]:
    """What each word means that abbreviates a keyword: the first in tc's order."""
    meanings: dict[str, str] = {}
    for keyword in keywords:
        for length in range(1, len(keyword) + 1):
            meanings.setdefault(keyword[:length], keyword)
    return meanings
