"""What the two halves share in turning a tc filter into rules.

A filter's actions are cut after each ``ct``: what stands up to and with it is
one rule in the chain's table, what comes after is another, found again by the
filter's fte_id.  Each half gives the cuts its own tables (``Half``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address

from controller import fields
from controller.fields import Field
from controller.rewriting import (
    PacketSoFar,
    csum,
    pedit,
    vlan_modify,
    vlan_pop,
    vlan_push,
)
from controller.rules import (
    Clone,
    Move,
    Output,
    Resubmit,
    RuleAction,
    SetField,
    Table,
    TrackClear,
)
from controller.tunnels import ORDINARY, Outer
from offload.actions import (
    PASS,
    Action,
    Control,
    Csum,
    Ct,
    Gact,
    Mirred,
    Pedit,
    Skbedit,
    TunnelKeySet,
    TunnelKeyUnset,
    Verb,
    VlanModify,
    VlanPop,
    VlanPush,
)
from offload.errors import Unsupported
from offload.profile import DEFAULT, Profile


class DeviceKind(Enum):
    """What stands behind a port."""

    REPRESENTOR = "representor"
    TUNNEL = "tunnel"


@dataclass(frozen=True, slots=True)
class Device:
    """A device that tc knows at a hypervisor; ``port`` is its OpenFlow port.

    ``senders`` are the ports that send in a tunnel device's place.
    """

    name: str
    kind: DeviceKind
    port: int
    senders: Mapping[Outer, int] = field(default_factory=dict, compare=False)

    def sending(self, outer: Outer | None) -> int:
        """The port that sends packets, in a tunnel's ``outer`` header if any.

        Raises Unsupported.
        """
        if self.kind is not DeviceKind.TUNNEL or outer == ORDINARY:
            return self.port
        if outer is None:
            raise Unsupported(
                f"mirred to {self.name}: needs tunnel_key set before it in the filter"
            )
        if outer not in self.senders:
            raise Unsupported(
                f"mirred to {self.name}: it has no port {outer.port_name}"
            )
        return self.senders[outer]


DeviceLookup = Callable[[str], Device]


@dataclass(frozen=True, slots=True)
class Half:
    """Where one half of the pipeline goes on; software's has two hooks.

    ``device_field`` has the port of the device whose filters a packet meets.
    """

    chain_field: Field
    chain_table: Table
    is_software: bool
    passed: Table = Table.STACK
    device_field: Field = fields.IN_PORT

    @property
    def is_egress(self) -> bool:
        """Has the packet a device to leave by?"""
        return self.passed is Table.LEAVE


@dataclass(frozen=True, slots=True)
class Place:
    """Where a filter's actions run: in which half, at which device.

    ``egress`` are the devices with filters for what leaves by them.
    """

    half: Half
    device_of: DeviceLookup
    at: Device
    profile: Profile = DEFAULT
    segment: int = 0
    egress: Collection[str] = ()


def plain_actions(
    actions: Iterable[Action], place: Place, packet: PacketSoFar
) -> tuple[RuleAction, ...]:
    """The rule actions of tc actions none of which looks a packet up in conntrack.

    They are in the order they run (``offload.actions.as_run``); a list that
    ends without a verdict passes the packet.  Raises Unsupported.
    """
    done: list[RuleAction] = []
    for action in actions:
        done.extend(_one(action, place, packet))
        if action.control.verb is not Verb.PIPE:
            return (*done, *control(action.control, place, packet))
    return (*done, *control(PASS, place, packet))


def _one(action: Action, place: Place, packet: PacketSoFar) -> Iterable[RuleAction]:
    match action:
        case Pedit():
            return pedit(action, packet)
        case Csum():
            csum(action, packet)
        case VlanPush():
            return vlan_push(action, packet)
        case VlanPop():
            return vlan_pop(action, packet)
        case VlanModify():
            return vlan_modify(action, packet)
        case TunnelKeySet():
            return _tunnel_set(action, place, packet)
        case TunnelKeyUnset():
            packet.outer = None
            return _TUNNEL_UNSET
        case Mirred():
            return _mirred(action, place, packet)
        case Ct():
            return FORGET_CONNECTION
        case Skbedit():
            raise Unsupported("skbedit: nothing on this datapath carries it further")
        case Gact():
            pass
    return ()


def control(
    verdict: Control, place: Place, packet: PacketSoFar
) -> tuple[RuleAction, ...]:
    """How a filter's actions end.  Raises Unsupported.

    Source: net/sched/cls_api.c:__tcf_classify, net/core/dev.c:sch_handle_ingress,
    sch_handle_egress
    """
    verb = verdict.verb
    if verb in (Verb.DROP, Verb.STOLEN, Verb.TRAP):
        return ()
    if place.half.is_software:
        packet.require_checksums()
    if verb is Verb.PASS:
        return (Resubmit(place.half.passed),)
    if verb is Verb.GOTO_CHAIN:
        chain = SetField(place.half.chain_field, verdict.chain)
        return (chain, *ONE_MORE_GOTO, Resubmit(place.half.chain_table))
    if verb is Verb.RECLASSIFY:
        return (*_FROM_THE_START, *ONE_MORE_GOTO, Resubmit(place.half.chain_table))
    if verb is Verb.CONTINUE:
        to_next = SetField(fields.SEGMENT, place.segment + 1)
        return (to_next, Resubmit(place.half.chain_table))
    raise Unsupported(f"{verb.name.lower()}: no verb that a list ends with")


def one_more(count: Field) -> tuple[RuleAction, ...]:
    """Count up: as many ones from the lowest bit as there were times."""
    return Move(count.part(0, count.bits - 1), count.part(1), count.bits - 1), SetField(
        count, 1, 1
    )


ONE_MORE_GOTO = (*one_more(fields.GOTOS), SetField(fields.SEGMENT, 0))
_FROM_THE_START = (Move(fields.FIRST_CHAIN, fields.CHAIN, fields.CHAIN.bits),)

FORGET_CONNECTION: tuple[RuleAction, ...] = (
    TrackClear(),
    *(
        SetField(register, 0)
        for register in (
            fields.CT_STATE,
            fields.CT_ZONE,
            fields.MARK,
            fields.LABEL,
            fields.TUPLE_ID,
            fields.BEGUN,
        )
    ),
)


def _tunnel_set(
    action: TunnelKeySet, place: Place, packet: PacketSoFar
) -> tuple[RuleAction, ...]:
    packet.outer = Outer.of(action)
    port: tuple[RuleAction, ...] = ()
    if place.half.is_egress and place.at.kind is DeviceKind.TUNNEL:
        port = (SetField(fields.SENDS, place.at.sending(packet.outer)),)
    four = isinstance(action.dst, IPv4Address)
    source = fields.TUN_IPV4_SRC if four else fields.TUN_IPV6_SRC
    target = fields.TUN_IPV4_DST if four else fields.TUN_IPV6_DST
    return (
        SetField(source, int(action.src)),
        SetField(target, int(action.dst)),
        SetField(fields.TUN_ID, action.key_id or 0),
        *port,
    )


# Tunnels run over IPv4.  To clear IPv6 addresses as well would be to match both kinds, and no
# such flow gets into the kernel's datapath ("Mixed IPv4 and IPv6 tunnel attributes").
_TUNNEL_UNSET: tuple[RuleAction, ...] = tuple(
    SetField(field, 0)
    for field in (fields.TUN_IPV4_SRC, fields.TUN_IPV4_DST, fields.TUN_ID)
)


def _mirred(
    action: Mirred, place: Place, packet: PacketSoFar
) -> tuple[RuleAction, ...]:
    device = place.device_of(action.dev)
    if place.half.is_software:
        packet.require_checksums()
    if not action.egress:
        return _sent(action, _to_ingress(device, place.profile))
    port = device.sending(packet.outer)
    if place.half.is_software and device.name in place.egress:
        return _sent(action, _to_egress(device, port, place))
    if place.half.is_egress:
        leaves = (SetField(fields.SENDS, port), Resubmit(Table.LEAVE))
        return _sent(action, (*_ONE_MORE_MIRRED, *leaves))
    return (Output(port, port == place.at.port),)


def _sent(action: Mirred, way: tuple[RuleAction, ...]) -> tuple[RuleAction, ...]:
    """A mirrored packet goes on as it was."""
    return way if action.redirect else (Clone(way),)


def _to_ingress(device: Device, profile: Profile) -> tuple[RuleAction, ...]:
    """The packet comes in at another device, in software and as if it were new.

    Source: net/sched/act_mirred.c:tcf_mirred_forward
    """
    return (
        *_classified_anew(profile),
        SetField(fields.IN_PORT, device.port),
        Resubmit(Table.INGRESS),
    )


def _to_egress(device: Device, port: int, place: Place) -> tuple[RuleAction, ...]:
    """The packet meets the filters of the device that it is to leave by.

    For ``indev`` it came in where it was sent from: what that one's filters are of.
    """
    return (
        *_classified_anew(place.profile),
        *((SetField(fields.IN_PORT, place.at.port),) if place.half.is_egress else ()),
        SetField(fields.LEAVES_BY, device.port),
        SetField(fields.SENDS, port),
        Resubmit(Table.EGRESS),
    )


def _classified_anew(profile: Profile) -> tuple[RuleAction, ...]:
    return (
        *(() if profile.mirred_keeps_ct else FORGET_CONNECTION),
        *(SetField(field, 0) for field in fields.OF_A_CLASSIFICATION),
        *_ONE_MORE_MIRRED,
    )


_ONE_MORE_MIRRED = one_more(fields.MIRREDS)
