"""What `conntrack -L` prints at a hypervisor, read back as connections.

The status is what the list tells: that the connection is in a flow table, and in hardware.
Userspace Open vSwitch keeps neither the other bits nor the kernel's TCP states.
"""

from __future__ import annotations

import re

from tests.kernel.cases.outcome import Connection, Tuple

WORD = re.compile(r"(\w+)=(\S+)")
FLAG = re.compile(r"\[(\w+)\]")


def connections(text: str) -> tuple[Connection, ...]:
    """Read a whole listing."""
    return tuple(_connection(line) for line in text.splitlines())


def _connection(line: str) -> Connection:
    values: dict[str, list[str]] = {}
    for name, value in WORD.findall(line):
        values.setdefault(name, []).append(value)
    head = line.partition(" src=")[0].split()
    return Connection(
        protocol=int(head[1]),
        original=_tuple(values, 0),
        reply=_tuple(values, 1),
        status=tuple(flag for flag in FLAG.findall(line) if "OFFLOAD" in flag),
        zone=int(values.get("zone", ["0"])[0]),
        mark=int(values["mark"][0]),
        label=_label(values.get("labels", ["0"])[0]),
    )


def _tuple(values: dict[str, list[str]], way: int) -> Tuple:
    src, dst = values["src"][way], values["dst"][way]
    if "type" in values:
        kind, code = int(values["type"][way]), int(values["code"][way])
        return Tuple(src, dst, int(values["id"][way]), kind << 8 | code)
    return Tuple(src, dst, int(values["sport"][way]), int(values["dport"][way]))


def _label(text: str) -> str:
    """As ctnetlink has it: byte 0 first."""
    value = int(text, 16)
    return value.to_bytes(16, "little").hex() if value else ""
