"""A hypervisor and its switch, both in memory: tc commands in, packets through it.

bed = Bed()                     devices as the cover letter names them
bed.tc("filter add dev ...")    what a user types
bed.send(packet)                a walk; the copies reach act_ct at once
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from controller import commands, fields
from controller.commands.answer import Answer
from controller.ct_entries import Timeouts
from controller.filters import DeviceKind
from controller.hypervisor import Config, Hypervisor
from controller.openflow import messages
from controller.openflow.decode import Counted, Failed, Removed
from controller.openflow.entries import direction_of, entry_id_of
from controller.rules import (
    AckBoth,
    CountEntry,
    DeleteConnection,
    DeleteConnections,
    Later,
    Message,
    OfferAgain,
    Owner,
    RestoreConnection,
    Rule,
)
from controller.tunnels import Outer
from offload.conntrack import FlowTuple, TrackedPacket
from offload.flow_table import FlowEntry
from offload.flower import ETH_P_IP, ETH_P_IPV6, IPPROTO_TCP
from offload.profile import DEFAULT, Profile
from tests.unit.connections import TCP_ACK
from tests.unit.controller import read_back
from tests.unit.controller.fake_table import (
    FakeTable,
    Packet,
    Standing,
    Walk,
    get,
    put,
    tuple_of,
)

REP0, REP1, VXLAN = "ens1f0_0", "ens1f0_1", "vxlan0"
PORTS = {REP0: 1, REP1: 2, VXLAN: 3}
KINDS = {
    REP0: DeviceKind.REPRESENTOR,
    REP1: DeviceKind.REPRESENTOR,
    VXLAN: DeviceKind.TUNNEL,
}
LOCAL = 0xFFFFFFFE
VM1, VM3 = 0x248A07A52801, 0x248A07A52803

# The cover letter's three commands, word for word.
LETTER = (
    """filter add dev ens1f0_0 ingress prio 1 chain 0 proto ip flower
    src_mac 24:8a:07:a5:28:01 ct_state -trk
    action ct
    pipe action goto chain 2""",
    """filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower
    ct_state +trk+new
    action ct commit
    pipe action tunnel_key set
        src_ip 0.0.0.0
        dst_ip 7.7.7.8
        id 98
        dst_port 4789
    action mirred egress redirect dev vxlan0""",
    """filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower
    ct_state +trk+est
    action tunnel_key set
        src_ip 0.0.0.0
        dst_ip 7.7.7.8
        id 98
        dst_port 4789
    action mirred egress redirect dev vxlan0""",
)

# The way back, for which the letter has no commands.
WAY_BACK = (
    """filter add dev vxlan0 ingress prio 1 chain 0 proto ip flower
    enc_dst_ip 7.7.7.7 enc_key_id 98 ct_state -trk
    action ct pipe action goto chain 2""",
    """filter add dev vxlan0 ingress prio 1 chain 2 proto ip flower
    ct_state +trk+est
    action tunnel_key unset pipe action mirred egress redirect dev ens1f0_0""",
)


@dataclass(slots=True)
class FakeSwitch:
    """What commands need of a switch, from the table in memory.

    ``meanwhile`` is what happens as soon as the counters have been read.
    """

    table: FakeTable
    deliver: Callable[[], object]
    dump: str = ""
    settles: int = 0
    meanwhile: Callable[[], object] = bool
    senders: dict[Outer, int] = field(default_factory=dict)

    def counters(self, owner: Owner) -> list[Counted]:
        counted = [
            Counted(
                rule.owner, rule.owner_id, rule.table, standing.packets, standing.bytes
            )
            for standing in self.table.standing.values()
            if (rule := standing.flow_mod.rule).owner == owner
        ]
        self.meanwhile()
        return counted

    def appctl(self, command: str, *arguments: str) -> str:
        assert command == "dpctl/dump-conntrack", command
        return self.dump

    def caught_up(self) -> None:
        self.deliver()

    def settled(self, anew: bool = False) -> None:
        self.settles += 1
        self.deliver()

    def prepare_zone(self, zone: int) -> None:
        assert 0 <= zone < 65536

    def prepare_tunnel(self, outer: Outer) -> None:
        self.senders.setdefault(outer, 100 + len(self.senders))


class Bed:
    """A hypervisor with two VMs and a tunnel, whose switch is connected."""

    def __init__(
        self,
        offload: bool = True,
        connect: bool = True,
        profile: Profile = DEFAULT,
        card: tuple[tuple[str, int], ...] = (),
    ) -> None:
        config = Config(
            "hv1",
            1,
            "/nowhere",
            KINDS,
            "ens1f0",
            offload,
            Timeouts(),
            profile,
            card=card,
        )
        self.later: list[Later] = []
        self.hypervisor = Hypervisor(config)
        self.table = FakeTable()
        self.switch = FakeSwitch(self.table, self.deliver)
        self.switch.senders = self.hypervisor.senders
        self.now_s = 1000.0
        if connect:
            self.connect()

    def connect(self) -> None:
        """The switch connects, for the first time or again."""
        self.hypervisor.connected()
        for name, port in PORTS.items():
            self.hypervisor.port_appeared(name, port)
        self.deliver()
        self.hypervisor.taken_over()

    def deliver(self) -> list[Message]:
        """Have the switch carry out what it was told, and answer."""
        told = self.hypervisor.take_outbox()
        for message in told:
            if isinstance(message, DeleteConnection):
                key = message.zone, message.original
                self.table.conntrack.connections.pop(key, None)
                continue
            if isinstance(message, DeleteConnections):
                self.table.conntrack.connections.clear()
                continue
            if isinstance(message, CountEntry):
                self._count(message)
                continue
            if isinstance(message, Later):
                self.later.append(message)
                continue
            data = messages.encoded(self.hypervisor.epoch, [message])
            if isinstance(message, OfferAgain | RestoreConnection | AckBoth):
                for each in read_back.messages(data):
                    self._packet_out(each)
            else:
                self.table.load(data)
        for standing in self.table.removed:
            self.hypervisor.removed(_removed(standing, False), self.now_s)
        self.table.removed.clear()
        for rule in self.table.refused:
            self.hypervisor.failed(Failed(2, 5, rule.owner, rule.owner_id))
        self.table.refused.clear()
        return told

    def tc(self, line: str, stdin: str | None = None) -> Answer:
        """What a user types after ``tc``, and what comes back."""
        return self.run("tc " + line, stdin)

    def run(self, line: str, stdin: str | None = None) -> Answer:
        """A command line at the hypervisor."""
        argv = shlex.split(line)
        answer = commands.run(self.hypervisor, self.switch, argv, stdin, self.now_s)
        self.deliver()
        assert answer is not None, f"the system's: {line}"
        return answer

    def add(self, *lines: str) -> None:
        """tc commands that are to work."""
        for line in lines:
            assert self.tc(line) == Answer()

    def filters(self, device: str = REP0) -> list[dict[str, Any]]:
        """``tc -s -j filter show``, without the lines that say only a prio."""
        answer = self.tc(f"-s -j filter show dev {device} ingress")
        assert answer.code == 0, answer.stderr
        return [each for each in json.loads(answer.stdout) if "options" in each]

    def shown_actions(self, device: str = REP0) -> list[dict[str, Any]]:
        """The actions of all filters, as ``tc -s -j filter show`` has them."""
        found = (each["options"].get("actions", []) for each in self.filters(device))
        return [action for actions in found for action in actions]

    def packets(self, device: str = REP0) -> list[int]:
        """What the first action of each filter has counted, in both halves."""
        options = (each["options"] for each in self.filters(device))
        return [each["actions"][0]["stats"]["packets"] for each in options]

    def rules_of_filters(self) -> list[Rule]:
        """The switch's rules that are there for filters."""
        rules = (standing.flow_mod.rule for standing in self.table.standing.values())
        return [rule for rule in rules if rule.owner in (Owner.FILTER, Owner.PUNT)]

    def everything(self) -> tuple[list[str], set[str]]:
        """What tc shows, and the switch's rules without their cookies."""
        hooks = product(PORTS, ("ingress", "egress"))
        shows = [f"filter show dev {device} {hook}" for device, hook in hooks]
        shows += [f"actions ls action {kind}" for kind in ("ct", "mirred", "gact")]
        rules = (standing.flow_mod.rule for standing in self.table.standing.values())
        said = [self.tc(show).stdout for show in shows]
        return said, {f"{rule.place} {rule.actions}" for rule in rules}

    def send(self, packet: Packet) -> Walk:
        """Let a packet in, and act_ct see what was copied of it."""
        walk = self.table.walk(packet)
        for copy in walk.copies:
            self.hypervisor.packet(tracked_packet(copy), self.now_s)
        self.deliver()
        return walk

    def card_is_done(self) -> None:
        """The card has had its time for all that it was given to insert."""
        for later in self.later:
            self.hypervisor.insertion_due(later)
        self.later.clear()
        self.deliver()

    def age_out(self, entry: FlowEntry) -> None:
        """No packet of an entry came for its timeout."""
        standing = self.table.age_out(
            lambda rule: rule.owner == Owner.ENTRY
            and entry_id_of(rule.owner_id) == entry.id
        )
        self.hypervisor.removed(_removed(standing, True), self.now_s)
        self.deliver()

    def entries(self) -> list[FlowEntry]:
        """What is in the flow tables."""
        return list(self.hypervisor.act_ct)

    def _count(self, asked: CountEntry) -> None:
        """What an entry's rules of one direction have counted."""
        for counted in self.switch.counters(Owner.ENTRY):
            if entry_id_of(counted.owner_id) == asked.entry_id:
                if direction_of(counted.owner_id) == asked.direction:
                    self.hypervisor.counted(counted)

    def _packet_out(self, data: bytes) -> None:
        """A packet made by the controller; none of ours leaves the switch."""
        made = read_back.packet_out(data)
        packet = of_connection(_read(made.frame), made.in_port)
        walk = self.table.run(packet, made.actions)
        assert not walk.outputs and not walk.copies


def _read(frame: bytes) -> FlowTuple:
    """The tuple of a frame of ours, which has no options and no tag."""
    if frame[12:14] == b"\x08\x00":
        proto, src, dst, at = frame[23], frame[26:30], frame[30:34], 34
    else:
        proto, src, dst, at = frame[20], frame[22:38], frame[38:54], 54
    sport, dport = (int.from_bytes(frame[i : i + 2], "big") for i in (at, at + 2))
    return FlowTuple(src, dst, proto, sport, dport)


def _removed(standing: Standing, idle: bool) -> Removed:
    flow_mod, rule = standing.flow_mod, standing.flow_mod.rule
    return Removed(
        flow_mod.epoch,
        rule.owner,
        rule.owner_id,
        rule.table,
        idle,
        standing.packets,
        standing.bytes,
        flow_mod.idle_s,
    )


def tracked_packet(copy: Packet) -> TrackedPacket:
    """A copied packet as the decoder would read it."""
    original = copy.copy()
    tcp = get(copy, fields.IP_PROTO) == IPPROTO_TCP
    for there, here in (
        (fields.IPV4_SRC, fields.CONNTRACK_IPV4_SRC),
        (fields.IPV4_DST, fields.CONNTRACK_IPV4_DST),
        (fields.IPV6_SRC, fields.CONNTRACK_IPV6_SRC),
        (fields.IPV6_DST, fields.CONNTRACK_IPV6_DST),
        (fields.TCP_SRC if tcp else fields.UDP_SRC, fields.CONNTRACK_SPORT),
        (fields.TCP_DST if tcp else fields.UDP_DST, fields.CONNTRACK_DPORT),
    ):
        put(original, there, get(copy, here))
    label_mask = (1 << fields.LABEL_BITS) - 1
    return TrackedPacket(
        copy["ct_zone"],
        fields.flower_ct_state(get(copy, fields.CONNTRACK_STATE)),
        get(copy, fields.CONNTRACK_MARK),
        get(copy, fields.CONNTRACK_LABEL) & label_mask,
        tuple_of(original),
        tuple_of(copy),
        get(copy, fields.TCP_FLAGS) if tcp else 0,
    )


def of_connection(
    read: FlowTuple,
    in_port: int = PORTS[REP0],
    tcp_flags: int = TCP_ACK,
    size: int = 100,
    eth_src: int = VM1,
    eth_dst: int = VM3,
) -> Packet:
    """A packet that reads as ``read``, from vm1 to vm3 unless told otherwise."""
    four = len(read.src) == 4
    tcp = read.proto == IPPROTO_TCP
    packet: Packet = {"bytes": size}
    values = {
        fields.IN_PORT: in_port,
        fields.ETH_SRC: eth_src,
        fields.ETH_DST: eth_dst,
        fields.ETH_TYPE: ETH_P_IP if four else ETH_P_IPV6,
        fields.IP_PROTO: read.proto,
        fields.IPV4_SRC if four else fields.IPV6_SRC: int.from_bytes(read.src, "big"),
        fields.IPV4_DST if four else fields.IPV6_DST: int.from_bytes(read.dst, "big"),
        fields.TCP_SRC if tcp else fields.UDP_SRC: read.sport,
        fields.TCP_DST if tcp else fields.UDP_DST: read.dport,
        fields.TCP_FLAGS: tcp_flags if tcp else 0,
    }
    for each, value in values.items():
        put(packet, each, value)
    return packet


def from_tunnel(packet: Packet) -> Packet:
    """The packet as it comes in at hv1 through the tunnel from hv2."""
    packet = packet.copy()
    put(packet, fields.IN_PORT, PORTS[VXLAN])
    put(packet, fields.TUN_ID, 98)
    put(packet, fields.TUN_IPV4_SRC, 0x07070708)
    put(packet, fields.TUN_IPV4_DST, 0x07070707)
    return packet
