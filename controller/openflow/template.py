"""A message with holes: serialized once by Ryu, cut where its values go.

A hole is found by its sentinel, bytes that occur nowhere else in the message.
"""

from __future__ import annotations

from controller import fields
from controller.fields import Field

IPV4_BYTES = 4

# What marks a hole: as many bytes as its value has, found nowhere else.
SENTINELS = {
    "src": 0xC1D2E3F4A5B6C7D8E9FAABBCCDDEEF01,
    "dst": 0xC2D3E4F5A6B7C8D9EAFBACBDCEDFE102,
    "new_src": 0xC3D4E5F6A7B8C9DAEBFCADBECFD0E203,
    "new_dst": 0xC4D5E6F7A8B9CADBECFDAEBFC0D1E304,
    "label": 0xC5D6E7F8A9BACBDCEDFEAFB0C1D2E405 & ((1 << fields.LABEL_BITS) - 1),
    "sport": 0x9BAD,
    "dport": 0x9CAE,
    "new_sport": 0x9DAF,
    "new_dport": 0x9EB1,
    "zone": 0x9FB2,
    "ct_zone": 0x0000_8CB3,
    "state": 0x00A7,
    "mark": 0x8A9BACBD,
    "tuple_id": 0x7B8C9D,
    "idle": 0x7CA1,
    "owner_id": 0x6152_4354_6576,
}


class Template:
    """A message with holes, which are filled by name."""

    def __init__(self, message: bytes, holes: dict[str, bytes]) -> None:
        places = sorted(
            (_only_place(message, mark), name) for name, mark in holes.items()
        )
        parts, done = [], 0
        for place, name in places:
            parts.append(message[done:place].replace(b"%", b"%%"))
            done = place + len(holes[name])
        parts.append(message[done:].replace(b"%", b"%%"))
        self._format = b"%b".join(parts)
        self.holes = [name for _, name in places]

    def fill(self, values: dict[str, bytes]) -> bytes:
        """The message with ``values`` in its holes."""
        return self._format % tuple([values[name] for name in self.holes])


def _only_place(message: bytes, mark: bytes) -> int:
    assert message.count(mark) == 1, f"{mark.hex()} must occur once"
    return message.index(mark)


def mark_of(name: str, size: int) -> bytes:
    """The sentinel of a hole, cut to its size."""
    return (SENTINELS[name] & ((1 << 8 * size) - 1)).to_bytes(size, "big")


def sentinel(name: str, field: Field) -> int:
    """The sentinel that fits a field."""
    return SENTINELS[name] & field.full_mask


def marks_of(names: tuple[str, ...], ipv4: bool) -> dict[str, bytes]:
    """Holes by name, with the bytes that mark them."""
    address = IPV4_BYTES if ipv4 else 16
    sizes = {
        "src": address,
        "dst": address,
        "new_src": address,
        "new_dst": address,
        "label": 16,
        "state": 8,
        "ct_zone": 8,
        "mark": 8,
        "tuple_id": 8,
        "owner_id": 8,
    }
    return {name: mark_of(name, sizes.get(name, 2)) for name in names}
