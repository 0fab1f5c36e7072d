"""What iproute2 6.1's tc said to each command line, and the exit code it left with.

Recorded from the real one, in ``refusals.txt``; ``USAGE`` stands for its usage text and
what follows.

    $ filter foo
    255|Command "foo" is unknown, try "tc filter help".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_RECORDED = Path(__file__).with_suffix(".txt")
_LINE = "$ "

Refused = tuple[str, int, str]


def _read(recorded: str) -> Iterator[Refused]:
    """(line, exit code, what tc said) of each."""
    for entry in recorded.removeprefix(_LINE).split(f"\n{_LINE}"):
        line, *answer = entry.rstrip("\n").split("\n")
        codes, said = zip(*(each.split("|", 1) for each in answer))
        yield line, int(codes[0]), "\n".join(said)


REFUSALS = tuple(_read(_RECORDED.read_text()))
