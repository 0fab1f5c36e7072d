"""Packets through both halves of the pipeline, under the cover letter's filters."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller import fields
from controller.ct_entries import UNREPLIED
from controller.pipeline import OFPP_LOCAL
from controller.rules import Owner, Table
from offload.conntrack import TCP_FIN, TCP_RST, TCP_SYN, Direction, FlowTuple
from offload.flower import ETH_P_ARP, CtState
from offload.profile import MLX5_5_7, MLX5_6_1, PROFILES, Profile
from tests.unit.connections import TCP, TCP_ACK, UDP, flow_tuple, tracked
from tests.unit.controller.bed import (
    LETTER,
    PORTS,
    REP0,
    REP1,
    VXLAN,
    WAY_BACK,
    Bed,
    from_tunnel,
    of_connection,
)
from tests.unit.controller.fake_table import Packet, Walk, get, put

SYN_ACK = TCP_SYN | TCP_ACK


def letter(offload: bool = True) -> Bed:
    bed = Bed(offload)
    bed.add(*LETTER, *WAY_BACK)
    return bed


def request(tcp_flags: int = TCP_ACK, original: FlowTuple = TCP) -> Packet:
    return of_connection(original, tcp_flags=tcp_flags)


def answer(tcp_flags: int = TCP_ACK, original: FlowTuple = TCP) -> Packet:
    return from_tunnel(of_connection(original.inverted(), tcp_flags=tcp_flags))


def handshake(bed: Bed) -> list[Walk]:
    return [
        bed.send(request(TCP_SYN)),
        bed.send(answer(SYN_ACK)),
        bed.send(request()),
    ]


def test_nobody_has_a_filter_so_it_goes_to_the_stack() -> None:
    walk = Bed().send(request())
    assert walk.ports == [OFPP_LOCAL]
    assert walk.tables[-1] is Table.STACK


def test_a_stranger_goes_to_the_stack() -> None:
    bed = letter()
    assert bed.send(of_connection(TCP, eth_src=0xBAD)).ports == [OFPP_LOCAL]
    arp: Packet = {}
    put(arp, fields.IN_PORT, 1)
    put(arp, fields.ETH_TYPE, ETH_P_ARP)
    assert bed.send(arp).ports == [OFPP_LOCAL]


def test_a_port_that_is_no_device_is_not_let_in() -> None:
    assert letter().send(of_connection(TCP, in_port=77)).ports == []


def test_a_syn_runs_in_software_chain_0_then_2() -> None:
    bed = letter()
    walk = bed.send(request(TCP_SYN))
    assert walk.tables == [
        Table.PORT,
        Table.HW_CHAIN,
        Table.HW_CT,
        Table.HW_MISS,
        Table.SW_CHAIN,  # chain 0: action ct
        Table.SW_TRACK,
        Table.SW_POST_CT,  # goto chain 2
        Table.SW_CHAIN,  # +trk+new: ct commit
        Table.SW_TRACK,
        Table.SW_POST_CT,
    ]
    [(port, sent)] = walk.outputs
    assert port == PORTS[VXLAN]
    assert get(sent, fields.TUN_ID) == 98
    assert get(sent, fields.TUN_IPV4_DST) == 0x07070708
    assert not walk.copies, "not established: nothing to offer"
    assert list(bed.table.conntrack.connections) == [(0, TCP)]


def test_a_handshake_in_software_then_hardware_all_the_way() -> None:
    bed = letter()
    syn, syn_ack, ack = handshake(bed)
    assert not syn.in_hardware and not syn_ack.in_hardware and not ack.in_hardware
    assert syn_ack.ports == [PORTS[REP0]]
    assert [len(walk.copies) for walk in (syn, syn_ack, ack)] == [0, 0, 1]
    [entry] = bed.entries()
    assert entry.in_hardware and entry.tuples == (TCP, TCP.inverted())
    data = bed.send(request())
    assert data.in_hardware and data.ports == [PORTS[VXLAN]]
    assert data.tables == [
        Table.PORT,
        Table.HW_CHAIN,
        Table.HW_CT,
        Table.CT_AGE,
        Table.HW_POST_CT,
        Table.HW_CHAIN,
    ]
    assert get(data.outputs[0][1], fields.TUN_ID) == 98
    back = bed.send(answer())
    assert back.in_hardware and back.ports == [PORTS[REP0]]
    assert get(back.outputs[0][1], fields.TUN_IPV4_DST) == 0, "decapsulated"


def test_hardware_says_what_state_a_packet_has() -> None:
    bed = letter()
    handshake(bed)
    for packet, reply in ((request(), CtState(0)), (answer(), CtState.RPL)):
        [(_, sent)] = bed.send(packet).outputs
        state = fields.flower_ct_state(get(sent, fields.CT_STATE))
        assert state == CtState.TRK | CtState.EST | reply
        assert get(sent, fields.TUPLE_ID) == bed.entries()[0].id


def test_with_offload_off_nothing_goes_through_hardware() -> None:
    bed = letter(offload=False)
    walks = [*handshake(bed), bed.send(request()), bed.send(answer())]
    assert [walk.ports for walk in walks] == [
        [PORTS[VXLAN]],
        [PORTS[REP0]],
        [PORTS[VXLAN]],
        [PORTS[VXLAN]],
        [PORTS[REP0]],
    ]
    assert not any(Table.HW_CHAIN in walk.tables for walk in walks)
    [entry] = bed.entries()
    assert not entry.in_hardware, "[OFFLOAD], but not in hardware"


@pytest.mark.parametrize("flag", [TCP_FIN, TCP_RST, TCP_FIN | TCP_RST])
@pytest.mark.parametrize("packet", [request, answer])
def test_a_closing_packet_misses_and_tears_down(
    flag: int, packet: Callable[[int], Packet]
) -> None:
    bed = letter()
    handshake(bed)
    walk = bed.send(packet(flag | TCP_ACK))
    assert Table.HW_MISS in walk.tables and len(walk.ports) == 1
    assert not bed.entries()
    assert bed.table.owners()[Owner.ENTRY] == 0
    assert bed.hypervisor.copies == {"offer": 1, "closing": 1}
    assert not bed.send(packet(flag | TCP_ACK)).copies, "told once"


def test_udp_enters_with_its_first_packet_after_a_reply() -> None:
    bed = letter()
    assert not bed.send(request(original=UDP)).copies
    assert len(bed.send(answer(original=UDP)).copies) == 1
    assert bed.send(request(original=UDP)).in_hardware


def test_a_connection_that_is_never_offloaded_costs_one_copy() -> None:
    bed = letter()
    icmp = flow_tuple(proto=1, sport=7, dport=7)
    bed.send(request(original=icmp))
    copies = sum(
        len(bed.send(packet(original=icmp)).copies)
        for _ in range(20)
        for packet in (answer, request)
    )
    assert copies == 1
    [reason] = bed.hypervisor.act_ct.refused
    assert reason.startswith("icmp is never offloaded")


def test_a_hit_that_misses_chain_2_resumes_there_with_its_state() -> None:
    """Hardware had the connection's state; software goes on with it, without ct()."""
    bed = Bed()
    bed.add(LETTER[0], LETTER[1].replace("ct commit", "ct commit mark 0x5"), *WAY_BACK)
    bed.add(
        "filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower skip_hw"
        " ct_state +trk+est ct_mark 0x5 action mirred egress redirect dev ens1f0_1"
    )
    handshake(bed)
    bed.table.conntrack.connections.clear()  # not asked: nobody may notice
    walk = bed.send(request())
    assert walk.tables == [
        Table.PORT,
        Table.HW_CHAIN,
        Table.HW_CT,
        Table.CT_AGE,
        Table.HW_POST_CT,
        Table.HW_CHAIN,  # chain 2: the software filter's punt rule
        Table.HW_MISS,
        Table.RESTORE,  # no NAT, nothing to undo
        Table.SW_CHAIN,
    ]
    [(port, sent)] = walk.outputs
    assert port == PORTS[REP1]
    assert get(sent, fields.CHAIN) == 2
    assert get(sent, fields.MARK) == 5
    assert get(sent, fields.TUPLE_ID) == 0


def test_a_label_is_restored_too() -> None:
    bed = Bed()
    commit = LETTER[1].replace("ct commit", "ct commit label 0a0b0c0d")
    bed.add(LETTER[0], commit, *WAY_BACK)
    bed.add(
        "filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower skip_hw"
        " ct_state +trk+est ct_label 0a0b0c0d"
        " action mirred egress redirect dev ens1f0_1"
    )
    handshake(bed)
    walk = bed.send(request())
    assert Table.HW_POST_CT in walk.tables and Table.SW_TRACK not in walk.tables
    assert walk.ports == [PORTS[REP1]]


def test_a_miss_in_a_chain_without_filters_there_goes_to_the_stack() -> None:
    bed = Bed()
    bed.add(*LETTER, *WAY_BACK)
    handshake(bed)
    [new, _] = [f for f in bed.filters() if f["chain"] == 2]
    assert new["options"]["keys"]["ct_state"] == "+trk+new"
    bed.add("filter del dev ens1f0_0 ingress prio 1 chain 2")
    walk = bed.send(request())
    assert walk.ports == [OFPP_LOCAL] and Table.HW_POST_CT in walk.tables
    assert Table.SW_TRACK not in walk.tables, "it does not start over"


def test_a_miss_at_chain_0_starts_over_with_clean_registers() -> None:
    bed = letter()
    dirty = request()
    for register in fields.REGISTERS:
        if register not in (
            *(fields.CHAIN_TAG, fields.ZONE, fields.OFFER),
            *(fields.COMMIT, fields.BEGUN, fields.BINDS, fields.MIRREDS),
            *(fields.LEAVES_BY, fields.SENDS),
        ):
            put(dirty, register, 1)
    seen = bed.table.walk(dirty, Table.HW_MISS)
    clean = bed.table.walk(request(), Table.HW_MISS)
    assert seen.tables == clean.tables and seen.ports == clean.ports
    put(dirty, fields.ETH_SRC, 0xBAD)
    [(port, stranger)] = bed.table.walk(dirty, Table.HW_MISS).outputs
    assert port == OFPP_LOCAL
    assert not any(get(stranger, each) for each in fields.REGISTERS)


def test_an_unknown_chain_tag_is_dropped() -> None:
    bed = letter()
    lost = request()
    put(lost, fields.CHAIN_TAG, 0x7777)
    walk = bed.table.walk(lost, Table.HW_MISS)
    assert walk.tables == [Table.HW_MISS] and not walk.outputs


def test_a_software_filter_is_not_overtaken_by_hardware() -> None:
    bed = Bed()
    bed.add(
        "filter add dev ens1f0_0 ingress prio 2 chain 0 proto ip flower skip_sw"
        " action mirred egress redirect dev ens1f0_1",
        "filter add dev ens1f0_0 ingress prio 1 chain 0 proto ip flower skip_hw"
        " ip_proto tcp action drop",
    )
    tcp, udp = bed.send(request()), bed.send(request(original=UDP))
    assert Table.SW_CHAIN in tcp.tables and not tcp.outputs
    assert udp.in_hardware and udp.ports == [PORTS[REP1]]


def test_a_filter_may_send_a_packet_back_where_it_came_from() -> None:
    bed = Bed()
    bed.add(
        "filter add dev ens1f0_0 ingress prio 1 proto ip flower"
        " action mirred egress redirect dev ens1f0_0"
    )
    assert bed.send(request()).ports == [PORTS[REP0]]


def test_nat_in_hardware() -> None:
    bed = Bed()
    translated = flow_tuple("10.0.0.9", sport=61000)
    bed.add(
        "filter add dev ens1f0_0 ingress prio 1 proto ip flower ct_state -trk"
        " action ct nat pipe action goto chain 2",
        "filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower"
        " ct_state +trk+est action mirred egress redirect dev ens1f0_1",
    )
    offered = bed.hypervisor.act_ct.tables[0]
    assert offered.offloaded
    bed.hypervisor.packet(tracked(TCP, translated), 0.0)
    bed.deliver()
    walk = bed.send(request())
    assert walk.in_hardware and Table.HW_CT not in walk.tables
    [(port, sent)] = walk.outputs
    assert port == PORTS[REP1]
    assert get(sent, fields.IPV4_SRC) == 0x0A000009
    assert get(sent, fields.TCP_SRC) == 61000
    assert get(sent, fields.IPV4_DST) == 0x0A000003


def test_a_plain_ct_action_does_not_translate() -> None:
    """Entries with mangles are in hw_ct_nat only: without ``nat`` they miss."""
    bed = letter()
    bed.hypervisor.packet(tracked(TCP, flow_tuple("10.0.0.9")), 0.0)
    bed.deliver()
    walk = bed.send(request())
    assert Table.HW_MISS in walk.tables


def test_filters_count_what_each_half_did() -> None:
    bed = letter()
    handshake(bed)
    for _ in range(5):
        bed.send(request())
    first, new, established = bed.filters()
    counted = [_halves(each) for each in (first, new, established)]
    assert counted == [(2, 5), (1, 0), (1, 5)]
    assert all(each["options"]["in_hw"] for each in (first, established))
    assert new["options"]["not_in_hw"]
    back, delivered = bed.filters(VXLAN)
    assert _halves(back) == _halves(delivered) == (1, 0)


def _halves(shown: dict[str, object]) -> tuple[int, int]:
    options = shown["options"]
    assert isinstance(options, dict)
    stats = options["actions"][0]["stats"]
    hardware = stats.get("hw_packets", 0)
    return stats["packets"] - hardware, hardware


def test_an_entry_that_ages_is_offered_again() -> None:
    bed = letter()
    handshake(bed)
    [entry] = bed.entries()
    bed.age_out(entry)
    assert not bed.entries()
    assert bed.table.owners()[Owner.ENTRY] == 0
    first = bed.send(request())
    assert not first.in_hardware and len(first.copies) == 1
    assert bed.send(request()).in_hardware


def test_the_reconnected_switch_has_the_same_rules() -> None:
    bed = letter()
    handshake(bed)
    before = set(bed.table.standing)
    [entry] = bed.entries()
    bed.connect()
    assert set(bed.table.standing) == before
    epochs = {each.flow_mod.epoch for each in bed.table.standing.values()}
    assert epochs == {2}
    assert bed.send(request()).in_hardware
    bed.age_out(entry)
    assert not bed.entries()


def test_what_a_switch_should_not_have_goes_on_reconnection() -> None:
    bed = letter()
    handshake(bed)
    bed.hypervisor.forget(0, TCP)
    bed.hypervisor.take_outbox()  # it was not there to hear it
    bed.connect()
    assert bed.table.owners()[Owner.ENTRY] == 0


@pytest.mark.parametrize("direction", list(Direction))
def test_hardware_turned_on_takes_the_connections_there_are(
    direction: Direction,
) -> None:
    bed = letter(offload=False)
    handshake(bed)
    [entry] = bed.entries()
    bed.hypervisor.set_offload(True)
    bed.deliver()
    assert entry.in_hardware
    packet = request() if direction is Direction.ORIGINAL else answer()
    assert bed.send(packet).in_hardware
    bed.age_out(entry)
    assert not bed.entries() and bed.table.owners()[Owner.ENTRY] == 0


def test_hardware_turned_off_gives_the_connections_back() -> None:
    bed = letter()
    handshake(bed)
    [entry] = bed.entries()
    bed.hypervisor.set_offload(False)
    bed.deliver()
    assert not entry.in_hardware
    walk = bed.send(request())
    assert Table.HW_CHAIN not in walk.tables and walk.ports == [PORTS[VXLAN]]
    bed.age_out(entry)
    assert not bed.entries()


def test_udp_of_a_later_kernel_enters_step_by_step() -> None:
    """By its first commit, in software; one way once a reply was seen; then whole."""
    bed = Bed(profile=MLX5_6_1)
    bed.add(*LETTER, *WAY_BACK)
    first = bed.send(request(original=UDP))
    [entry] = bed.entries()
    assert len(first.copies) == 1 and not entry.established and entry.why == UNREPLIED
    assert not bed.send(request(original=UDP)).copies, "told once"

    assert len(bed.send(answer(original=UDP)).copies) == 1
    assert entry.in_hardware and not entry.bidirectional
    assert bed.send(request(original=UDP)).in_hardware
    reply = bed.send(answer(original=UDP))
    assert not reply.in_hardware and not reply.copies

    bed.now_s += 2
    bed.hypervisor.tick(bed.now_s)
    bed.deliver()
    assert len(bed.send(answer(original=UDP)).copies) == 1
    assert bed.send(answer(original=UDP)).in_hardware
    assert bed.send(request(original=UDP)).in_hardware
    assert bed.table.owners()[Owner.ENTRY] == 3


def test_tcp_picked_up_in_the_middle_is_assured_by_its_third_packet() -> None:
    for profile, third_decides in ((MLX5_5_7, False), (MLX5_6_1, True)):
        bed = Bed(profile=profile)
        bed.add(*LETTER, *WAY_BACK)
        bed.send(request())
        bed.send(answer())
        assert bool(bed.entries()) is not third_decides
        bed.send(answer())
        assert len(bed.entries()) == 1


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_what_closes_before_act_ct_is_told_never_enters(profile: Profile) -> None:
    """A FIN is the first answer to a connection that was picked up in its middle."""
    bed = Bed(profile=profile)
    bed.add(*LETTER, *WAY_BACK)
    bed.send(request())
    bed.send(answer(TCP_FIN | TCP_ACK))
    for packet in (request(), answer(), request()):
        assert not bed.send(packet).copies
    assert not bed.entries()


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_second_lookup_in_the_zone_of_a_translated_packet(profile: Profile) -> None:
    """Later generations pass the ct table by; 5.7 does not know the new tuple."""
    bed = Bed(profile=profile)
    bed.add(
        "filter add dev ens1f0_0 ingress prio 1 proto ip flower ct_state -trk"
        " action ct zone 5 nat pipe action goto chain 2",
        "filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower"
        " action ct zone 5 nat pipe action mirred egress redirect dev ens1f0_1",
    )
    translated = flow_tuple("10.0.0.9", sport=61000)
    bed.hypervisor.packet(tracked(TCP, translated, zone=5), 0.0)
    bed.deliver()
    walk = bed.send(request())
    assert walk.in_hardware is profile.zone_shortcut
    if walk.in_hardware:
        assert walk.ports == [PORTS[REP1]]
        bed.connect()
        assert bed.send(request()).in_hardware, "told again"
        bed.add("filter del dev ens1f0_0 ingress prio 1 chain 2")
        bed.add("filter del dev ens1f0_0 ingress prio 1 chain 0")
        assert not bed.table.rules(Table.HW_CT_NAT)[1:], "gone with the zone"
