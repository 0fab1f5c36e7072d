"""What a filter does, in the switch's actions."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from controller import fields
from controller.filters import (
    FORGET_CONNECTION,
    ONE_MORE_GOTO,
    Device,
    DeviceKind,
    Half,
    Place,
    plain_actions,
)
from controller.hardware import HARDWARE
from controller.rewriting import PacketSoFar
from controller.rules import (
    Clone,
    Move,
    Output,
    Resubmit,
    SetField,
    Table,
    TrackClear,
)
from controller.software import SOFTWARE
from controller.tunnels import Outer, unusual
from offload.actions import (
    DROP,
    PASS,
    PIPE,
    Action,
    Control,
    Ct,
    Gact,
    Mirred,
    Skbedit,
    TunnelKeySet,
    TunnelKeyUnset,
    Verb,
)
from offload.errors import Unsupported
from offload.flower import ETH_P_ALL
from offload.flower import Match as FlowerMatch
from offload.profile import MLX5_5_7, MLX5_6_1, Profile

ANY_PACKET = FlowerMatch(ETH_P_ALL)
DEVICES = {
    "ens1f0_0": Device("ens1f0_0", DeviceKind.REPRESENTOR, 1),
    "ens1f0_1": Device("ens1f0_1", DeviceKind.REPRESENTOR, 2),
    "vxlan0": Device("vxlan0", DeviceKind.TUNNEL, 3),
}
ANY, HV2 = IPv4Address("0.0.0.0"), IPv4Address("7.7.7.8")
ENCAP = TunnelKeySet(ANY, HV2, 98, 4789)
TO_VM2 = Mirred("ens1f0_1", redirect=True)
TO_VXLAN = Mirred("vxlan0", redirect=True)


def done(
    *actions: Action,
    at: str = "ens1f0_0",
    half: Half = SOFTWARE,
    profile: Profile = MLX5_6_1,
    match: FlowerMatch | None = None,
    segment: int = 0,
    egress: tuple[str, ...] = (),
) -> list[object]:
    lookup = DEVICES.__getitem__
    place = Place(half, lookup, DEVICES[at], profile, segment, egress)
    return list(plain_actions(actions, place, PacketSoFar.of(match or ANY_PACKET)))


# Actions.


def test_a_list_without_a_verdict_passes() -> None:
    assert done() == done(Gact(PASS)) == [Resubmit(Table.STACK)]
    assert done(Gact(PIPE)) == [Resubmit(Table.STACK)]


def test_nothing_runs_after_a_verdict() -> None:
    assert done(Gact(DROP), TO_VM2) == []
    assert done(TO_VM2, TO_VM2) == [Output(2)]


def test_goto_chain() -> None:
    goto_7 = Gact(Control(Verb.GOTO_CHAIN, 7))
    assert done(goto_7) == [
        SetField(fields.CHAIN, 7),
        *ONE_MORE_GOTO,
        Resubmit(Table.SW_CHAIN),
    ]
    in_hardware = done(goto_7, half=HARDWARE)
    assert in_hardware[0] == SetField(fields.CHAIN_TAG, 7)
    assert in_hardware[-1] == Resubmit(Table.HW_CHAIN)


def test_reclassify_goes_where_it_began_and_is_counted_as_a_goto() -> None:
    assert done(Gact(Control(Verb.RECLASSIFY))) == [
        Move(fields.FIRST_CHAIN, fields.CHAIN, 32),
        *ONE_MORE_GOTO,
        Resubmit(Table.SW_CHAIN),
    ]


def test_what_is_trapped_in_software_is_consumed() -> None:
    assert done(Gact(Control(Verb.TRAP))) == []


def test_continue_asks_the_next_segment_of_the_chain() -> None:
    assert done(Gact(Control(Verb.CONTINUE)), segment=2) == [
        SetField(fields.SEGMENT, 3),
        Resubmit(Table.SW_CHAIN),
    ]


def test_a_jump_is_no_end() -> None:
    with pytest.raises(Unsupported, match="jump: no verb that a list ends with"):
        done(Gact(Control(Verb.JUMP)))


def test_encapsulation() -> None:
    tunnel_id = SetField(fields.TUN_ID, 98)
    four = [
        SetField(fields.TUN_IPV4_SRC, 0),
        SetField(fields.TUN_IPV4_DST, 0x07070708),
    ]
    assert done(ENCAP, TO_VXLAN) == [*four, tunnel_id, Output(3)]
    outer6 = TunnelKeySet(IPv6Address("::"), IPv6Address("::8"), 98)
    six = [SetField(fields.TUN_IPV6_SRC, 0), SetField(fields.TUN_IPV6_DST, 8)]
    assert done(outer6, TO_VXLAN) == [*six, tunnel_id, Output(3)]
    assert done(TunnelKeySet(ANY, HV2), TO_VXLAN)[2] == SetField(fields.TUN_ID, 0)


def test_decapsulation_clears_what_was_set() -> None:
    *cleared, last = done(TunnelKeyUnset(), TO_VM2)
    outer = (fields.TUN_IPV4_SRC, fields.TUN_IPV4_DST, fields.TUN_ID)
    assert cleared == [SetField(each, 0) for each in outer]
    assert last == Output(2)


@pytest.mark.parametrize(
    ("action", "outer"),
    [
        (TunnelKeySet(ANY, HV2, dst_port=4790), Outer(4790)),
        (TunnelKeySet(ANY, HV2, csum=False), Outer(csum=False)),
        (TunnelKeySet(ANY, HV2, tos=0xB9), Outer(tos=0xB8)),
        (TunnelKeySet(ANY, HV2, ttl=1), Outer(ttl=1)),
    ],
)
def test_what_only_a_port_can_do_has_a_port(action: TunnelKeySet, outer: Outer) -> None:
    """Several that ask for the same have the same; ECN is the inner packet's."""
    usual = TunnelKeySet(ANY, HV2, 98, ttl=64, tos=1)
    assert unusual((action, usual, ENCAP, TO_VXLAN)) == {outer}
    with pytest.raises(Unsupported, match=f"it has no port {outer.port_name}"):
        done(action, TO_VXLAN)
    senders = {outer: 77}
    vxlan = Device("vxlan0", DeviceKind.TUNNEL, 3, senders)
    assert vxlan.sending(outer) == 77
    assert vxlan.sending(Outer()) == 3
    assert len(outer.port_name) < 16
    key = int(outer.options["in_key"])
    assert key >> 24, "no packet's key"


@pytest.mark.parametrize(
    "before", [(), (ENCAP, TunnelKeyUnset())], ids=["no key", "key unset again"]
)
def test_a_tunnel_device_needs_a_tunnel_key(before: tuple[Action, ...]) -> None:
    with pytest.raises(Unsupported, match="mirred to vxlan0: needs tunnel_key set"):
        done(*before, TO_VXLAN)


def test_mirroring_goes_on() -> None:
    mirror = Mirred("ens1f0_1", redirect=False, control=PIPE)
    assert done(mirror, ENCAP, TO_VXLAN)[0] == Output(2)
    assert done(mirror) == [Output(2), Resubmit(Table.STACK)]


def test_out_of_the_port_it_came_from() -> None:
    assert done(TO_VM2, at="ens1f0_1") == [Output(2, in_port=True)]


def test_into_the_ingress_of_a_device_as_if_it_were_new() -> None:
    entered = done(Mirred("ens1f0_1", redirect=True, egress=False))
    assert entered[: len(FORGET_CONNECTION)] == list(FORGET_CONNECTION)
    assert SetField(fields.CHAIN, 0) in entered and SetField(fields.GOTOS, 0) in entered
    assert entered[-2:] == [SetField(fields.IN_PORT, 2), Resubmit(Table.INGRESS)]
    mirror = Mirred("ens1f0_1", redirect=False, egress=False, control=PIPE)
    assert done(mirror, TO_VM2)[:2] == [Clone(tuple(entered)), Output(2)]  # type: ignore[arg-type]


def test_linux_5_7_leaks_the_connection_into_the_next_ingress() -> None:
    ingress = Mirred("ens1f0_1", redirect=True, egress=False)
    assert TrackClear() not in done(ingress, profile=MLX5_5_7)


def test_what_the_datapath_does_not_carry() -> None:
    with pytest.raises(Unsupported, match="skbedit: nothing on this datapath"):
        done(Skbedit(priority=3))


def test_ct_clear_forgets_all_that_ct_knew() -> None:
    cleared = done(Ct(clear=True), TO_VM2)
    assert cleared[0] == TrackClear() and cleared[-1] == Output(2)
    gone = {each.field for each in cleared[1:-1] if isinstance(each, SetField)}
    skb = {fields.CT_STATE, fields.CT_ZONE, fields.MARK, fields.LABEL}
    assert gone == {*skb, fields.TUPLE_ID, fields.BEGUN}
