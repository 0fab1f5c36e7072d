"""The switch's connections, as ``ovs-appctl dpctl/dump-conntrack`` prints them."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from controller.fields import LABEL_BITS, TOLD, Told
from offload.conntrack import PROTOCOL_NAMES, FlowTuple

_NUMBERS = {name: number for number, name in PROTOCOL_NAMES.items()}
_LINE = re.compile(r"([^,]+),orig=\(([^)]*)\),reply=\(([^)]*)\)(.*)")
_LABEL_MASK = (1 << LABEL_BITS) - 1
_TOLD = tuple(Told)

Appctl = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection; ``told`` is what act_ct was told of it."""

    proto: str
    original: FlowTuple
    reply: FlowTuple
    zone: int
    mark: int
    label: int
    state: str
    timeout_s: int | None
    told: Told = Told.NOTHING

    @property
    def key(self) -> tuple[int, FlowTuple]:
        """What tells it from every other."""
        return self.zone, self.original


def connections(appctl: Appctl, zone: int | None = None) -> Iterator[Connection]:
    """The switch's connections, of one zone or all."""
    arguments = ("-m", "-s") if zone is None else ("-m", "-s", f"zone={zone}")
    for text in appctl("dpctl/dump-conntrack", *arguments).splitlines():
        parsed = parse(text)
        if parsed is not None:
            yield parsed


def parse(text: str) -> Connection | None:
    """One line of OVS's dump; None for what is no connection."""
    found = _LINE.match(text)
    if found is None:
        return None
    proto, original, reply, more = found.groups()
    more, _, info = more.partition("protoinfo=(")
    info, _, yet_more = info.partition(")")
    rest, states = _fields(more + yet_more), _fields(info)
    timeout = rest.get("timeout")
    label = int(rest.get("labels", "0"), 0)
    return Connection(
        proto,
        _tuple(proto, _fields(original)),
        _tuple(proto, _fields(reply)),
        int(rest.get("zone", "0")),
        int(rest.get("mark", "0"), 0),
        label & _LABEL_MASK,
        states.get("state_orig") or states.get("state", ""),
        int(timeout) if timeout else None,
        _TOLD[label >> TOLD.start],
    )


def _fields(text: str) -> dict[str, str]:
    """The values of ``name=value,...``."""
    pairs = [piece.split("=", 1) for piece in text.split(",")]
    return dict(pair for pair in pairs if len(pair) == 2)


def _tuple(proto: str, fields: dict[str, str]) -> FlowTuple:
    """A tuple; ICMP's id, type and code are in the ports' place, as in the kernel.

    Source: include/net/netfilter/nf_conntrack_tuple.h
    """
    number = _NUMBERS.get(proto, int(proto) if proto.isdigit() else 0)
    sport, dport = int(fields.get("sport", "0")), int(fields.get("dport", "0"))
    if "id" in fields:
        sport = int(fields["id"])
        dport = int(fields.get("type", "0")) << 8 | int(fields.get("code", "0"))
    src, dst = _packed(fields["src"]), _packed(fields["dst"])
    return FlowTuple(src, dst, number, sport, dport)


@lru_cache(maxsize=4096)
def _packed(address: str) -> bytes:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.inet_pton(family, address)
