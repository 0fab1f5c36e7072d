"""tc's options, which stand before the object.  Source: iproute2 tc/tc.c"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; ``batch`` is the file that commands come from."""

    statistics: bool = False
    json: bool = False
    pretty: bool = False
    oneline: bool = False
    brief: bool = False
    force: bool = False
    batch: str | None = None
