"""``conntrack -L``, ``-D``, ``-F`` and ``-C`` at a hypervisor.

The list is OVS's, printed as conntrack prints it, with [OFFLOAD] for what is
in a flow table and [HW_OFFLOAD] for what hardware has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from controller.commands.answer import Answer, Switch
from controller.fields import LABEL_BITS
from controller.hypervisor import Hypervisor
from offload.conntrack import PROTOCOL_NAMES, FlowTuple
from offload.flow_table import FlowEntry

_NUMBERS = {name: number for number, name in PROTOCOL_NAMES.items()}
_LIST = ("-L", "--dump")
_DELETE = ("-D", "--delete")
_FLUSH = ("-F", "--flush")
_COUNT = ("-C", "--count")
_TUPLE = re.compile(r"(orig|reply)=\(([^)]*)\)")
_FIELD = re.compile(r"(\w+)=([^,()]+)")
_PROTOINFO = re.compile(r"protoinfo=\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Connection:
    """A line of ``ovs-appctl dpctl/dump-conntrack``."""

    proto: str
    original: FlowTuple
    reply: FlowTuple
    zone: int
    mark: int
    label: int
    state: str
    timeout_s: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filter options of a command: None asks for any."""

    zone: int | None = None
    proto: str | None = None
    src: str | None = None
    dst: str | None = None
    sport: int | None = None
    dport: int | None = None

    def takes(self, connection: Connection) -> bool:
        """Is this connection meant?"""
        original = connection.original
        pairs = (
            (self.zone, connection.zone),
            (self.proto, connection.proto),
            (self.src, str(ip_address(original.src))),
            (self.dst, str(ip_address(original.dst))),
            (self.sport, original.sport),
            (self.dport, original.dport),
        )
        return all(asked in (None, found) for asked, found in pairs)


class BadOption(Exception):
    """An option conntrack or the testbed does not know."""


def run(
    hypervisor: Hypervisor,
    switch: Switch,
    argv: Sequence[str],
    stdin: str | None,
    now_s: float,
) -> Answer | None:
    """Answer a conntrack command; the system's own tool sees another table."""
    if not argv:
        return None
    command, *options = argv
    if command not in (*_LIST, *_DELETE, *_FLUSH, *_COUNT):
        return None
    if options[:1] == ["conntrack"]:
        options = options[1:]
    try:
        wanted = _wanted(options)
    except BadOption as bad:
        text = f"{_HEAD}{bad}\n"
        text += "Try `conntrack -h' or 'conntrack --help' for more information.\n"
        return Answer(2, stderr=text)
    found = [c for c in connections(switch, wanted.zone) if wanted.takes(c)]
    if command in _COUNT:
        return Answer(stdout=f"{len(found)}\n")
    lines = [line(c, _entry(hypervisor, c)) for c in found]
    if command in _LIST:
        return Answer(stdout="".join(lines), stderr=_summary(len(found), "shown"))
    for connection in found:
        hypervisor.forget(connection.zone, connection.original)
    switch.settled()
    if command in _FLUSH:
        return Answer(stderr=_HEAD + "connection tracking table has been emptied.\n")
    code = 0 if found else 1
    return Answer(code, "".join(lines), _summary(len(found), "deleted"))


_HEAD = "conntrack v1.4.7 (conntrack-tools): "


def _summary(count: int, done: str) -> str:
    return f"{_HEAD}{count} flow entries have been {done}.\n"


_OPTIONS = {
    "-w": "zone",
    "--zone": "zone",
    "-p": "proto",
    "--proto": "proto",
    "-s": "src",
    "--src": "src",
    "--orig-src": "src",
    "-d": "dst",
    "--dst": "dst",
    "--orig-dst": "dst",
    "--sport": "sport",
    "--orig-port-src": "sport",
    "--dport": "dport",
    "--orig-port-dst": "dport",
}
_NUMERIC = ("zone", "sport", "dport")


def _wanted(options: Sequence[str]) -> Wanted:
    asked: dict[str, str | int] = {}
    words = iter(options)
    for option in words:
        name = _OPTIONS.get(option)
        if name is None:
            raise BadOption(f"unknown argument `{option}'")
        value = next(words, None)
        if value is None:
            raise BadOption(f"option `{option}' requires an argument")
        asked[name] = _value(name, value)
    return Wanted(**asked)  # type: ignore[arg-type]


def _value(name: str, value: str) -> str | int:
    try:
        if name in _NUMERIC:
            return int(value, 0)
        if name in ("src", "dst"):
            return str(ip_address(value))
    except ValueError as error:
        raise BadOption(f"Bad parameter: {value}") from error
    return value.lower()


def connections(switch: Switch, zone: int | None = None) -> Iterator[Connection]:
    """The switch's connections, of one zone or all."""
    arguments = ("-m", "-s") if zone is None else ("-m", "-s", f"zone={zone}")
    for text in switch.appctl("dpctl/dump-conntrack", *arguments).splitlines():
        parsed = parse(text)
        if parsed is not None:
            yield parsed


def parse(text: str) -> Connection | None:
    """One line of OVS's dump; None for what is no connection."""
    tuples = {name: dict(_FIELD.findall(body)) for name, body in _TUPLE.findall(text)}
    if "orig" not in tuples or "reply" not in tuples:
        return None
    proto = text.partition(",")[0]
    rest = dict(_FIELD.findall(_TUPLE.sub("", text)))
    info = _PROTOINFO.search(text)
    states = dict(_FIELD.findall(info.group(1))) if info else {}
    timeout = rest.get("timeout")
    return Connection(
        proto,
        _tuple(proto, tuples["orig"]),
        _tuple(proto, tuples["reply"]),
        int(rest.get("zone", "0")),
        int(rest.get("mark", "0"), 0),
        int(rest.get("labels", "0"), 0) & ((1 << LABEL_BITS) - 1),
        states.get("state_orig") or states.get("state", ""),
        int(timeout) if timeout else None,
    )


def _tuple(proto: str, fields: dict[str, str]) -> FlowTuple:
    """A tuple; ICMP's id, type and code are in the ports' place, as in the kernel.

    Source: include/net/netfilter/nf_conntrack_tuple.h
    """
    number = _NUMBERS.get(proto, int(proto) if proto.isdigit() else 0)
    source, target = ip_address(fields["src"]), ip_address(fields["dst"])
    sport, dport = int(fields.get("sport", "0")), int(fields.get("dport", "0"))
    if "id" in fields:
        sport = int(fields["id"])
        dport = int(fields.get("type", "0")) << 8 | int(fields.get("code", "0"))
    return FlowTuple(source.packed, target.packed, number, sport, dport)


def _entry(hypervisor: Hypervisor, connection: Connection) -> FlowEntry | None:
    table = hypervisor.act_ct.tables.get(connection.zone)
    return table.lookup(connection.original) if table else None


def line(connection: Connection, entry: FlowEntry | None) -> str:
    """A connection as ``conntrack -L`` prints it.

    An offloaded one shows neither state nor timeout, as in the kernel.
    """
    head = f"{connection.proto:<8} {connection.original.proto}"
    parts = [head]
    if entry is None:
        parts += [str(connection.timeout_s or 0)]
        parts += [connection.state] if connection.state else []
    parts += [
        _words(connection, connection.original),
        _words(connection, connection.reply),
    ]
    if entry is not None:
        parts.append("[HW_OFFLOAD]" if entry.in_hardware else "[OFFLOAD]")
    parts += [f"mark={connection.mark}"]
    parts += [f"zone={connection.zone}"] if connection.zone else []
    parts += [f"labels={connection.label:#034x}"] if connection.label else []
    return " ".join(parts) + " use=1\n"


def _words(connection: Connection, flow_tuple: FlowTuple) -> str:
    if "icmp" not in connection.proto:
        return str(flow_tuple)
    source, target = ip_address(flow_tuple.src), ip_address(flow_tuple.dst)
    kind, code = divmod(flow_tuple.dport, 256)
    return (
        f"src={source} dst={target} type={kind} code={code} id={flow_tuple.sport}"
    )
