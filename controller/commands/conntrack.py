"""``conntrack -L``, ``-D``, ``-F`` and ``-C`` at a hypervisor.

The list is OVS's, printed as conntrack prints it, with [OFFLOAD] for what is
in a flow table and [HW_OFFLOAD] for what hardware has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from controller.commands.answer import Answer, Switch
from controller.connections import Connection, connections
from controller.hypervisor import Hypervisor
from offload.flow_table import FlowEntry

_LIST = ("-L", "--dump")
_DELETE = ("-D", "--delete")
_FLUSH = ("-F", "--flush")
_COUNT = ("-C", "--count")
_OURS = (*_LIST, *_DELETE, *_FLUSH, *_COUNT)
_OF_THE_KERNEL = (
    *("-E", "--event", "-G", "--get", "-I", "--create", "-A", "--add"),
    *("-U", "--update", "-R", "--load-file", "-S", "--stats"),
)


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
    if command in _OF_THE_KERNEL and not hypervisor.config.netns:
        text = f"{_HEAD}{command}: Open vSwitch's own conntrack has -L, -D, -F and -C\n"
        return Answer(1, stderr=text)
    if command not in _OURS:
        return None
    if options[:1] == ["conntrack"]:
        options = options[1:]
    try:
        wanted = _wanted(options)
    except BadOption as bad:
        text = f"{_HEAD}{bad}\n"
        text += "Try `conntrack -h' or 'conntrack --help' for more information.\n"
        return Answer(2, stderr=text)
    if command in _FLUSH:
        return _flush(hypervisor, switch, options)
    switch.caught_up()
    found = [c for c in connections(switch.appctl, wanted.zone) if wanted.takes(c)]
    if command in _COUNT:
        return Answer(stdout=f"{len(found)}\n")
    found = [_as_kept(hypervisor, each, now_s) for each in found]
    _count(hypervisor, switch, found)
    lines = [line(c, _entry(hypervisor, c)) for c in found]
    if command in _LIST:
        return Answer(stdout="".join(lines), stderr=_summary(len(found), "shown"))
    for connection in found:
        hypervisor.forget(connection.zone, connection.original)
    switch.settled()
    code = 0 if found else 1
    return Answer(code, "".join(lines), _summary(len(found), "deleted"))


_HEAD = "conntrack v1.4.7 (conntrack-tools): "


def _flush(hypervisor: Hypervisor, switch: Switch, options: Sequence[str]) -> Answer:
    """All at once: nobody asks what each was, or counted."""
    if options:
        text = f"{_HEAD}Illegal option `{options[0]}' with this command\n"
        return Answer(2, stderr=text)
    hypervisor.forget_all()
    switch.settled()
    return Answer(stderr=_HEAD + "connection tracking table has been emptied.\n")


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


def _as_kept(hypervisor: Hypervisor, tracked: Connection, now_s: float) -> Connection:
    """With the time that act_ct gives it, where that is not conntrack's own."""
    left_s = hypervisor.act_ct.remaining_s(*tracked.key, now_s)
    return tracked if left_s is None else replace(tracked, timeout_s=left_s)


def _count(hypervisor: Hypervisor, switch: Switch, found: Sequence[Connection]) -> None:
    """Have hardware say what it counted of the entries it has."""
    for connection in found:
        entry = _entry(hypervisor, connection)
        if entry is not None and entry.in_hardware:
            hypervisor.request_counts(entry)
    switch.settled()


def _entry(hypervisor: Hypervisor, connection: Connection) -> FlowEntry | None:
    table = hypervisor.act_ct.tables.get(connection.zone)
    return table.lookup(connection.original) if table else None


def line(connection: Connection, entry: FlowEntry | None) -> str:
    """A connection as ``conntrack -L`` prints it.

    An offloaded one shows neither state nor timeout, as in the kernel; one in
    hardware shows what that counted.  Model: software's packets are not counted.
    """
    head = f"{connection.proto:<8} {connection.original.proto}"
    parts = [head]
    if entry is None:
        parts += [str(connection.timeout_s or 0)]
        parts += [connection.state] if connection.state else []
    for direction, flow_tuple in enumerate((connection.original, connection.reply)):
        parts.append(str(flow_tuple))
        if entry is not None and entry.in_hardware:
            packets, octets = entry.counted[direction]
            parts.append(f"hw_packets={packets} hw_bytes={octets}")
    if entry is not None:
        parts.append("[HW_OFFLOAD]" if entry.in_hardware else "[OFFLOAD]")
    parts += [f"mark={connection.mark}"]
    parts += [f"zone={connection.zone}"] if connection.zone else []
    parts += [f"labels={connection.label:#034x}"] if connection.label else []
    return " ".join(parts) + " use=1\n"
