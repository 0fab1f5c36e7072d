"""Which connections enter a flow table, and how they leave it."""

from __future__ import annotations

import pytest

from offload import act_ct as act_ct_module
from offload.act_ct import ActCt, Refusal, why_not
from offload.conntrack import TCP_FIN, TCP_RST, TCP_SYN, Direction, FlowTuple
from offload.errors import AlreadyRegistered
from offload.flow_table import FlowEntry, Taken
from offload.flower import (
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    CtState,
)
from offload.profile import DEFAULT, MLX5_5_7, MLX5_6_1, PROFILES, Profile
from tests.unit.connections import (
    ESTABLISHED,
    NEW,
    TCP,
    TCP6,
    TCP_ACK,
    UDP,
    UDP6,
    flow_tuple,
    tracked,
)
from tests.unit.offload.fake_conntrack import FakeConntrack, FakeDriver

ZONE = 5
REPLY = ESTABLISHED | CtState.RPL


def start(*zones: int, profile: Profile = DEFAULT) -> tuple[ActCt, FakeConntrack]:
    conntrack = FakeConntrack()
    act_ct = ActCt(conntrack, profile)
    for zone in zones or (ZONE,):
        act_ct.get_table(zone)
    return act_ct, conntrack


def offer(act_ct: ActCt, original: FlowTuple = TCP, zone: int = ZONE) -> FlowEntry:
    entry = act_ct.process_conn(tracked(original, zone=zone), 0.0)
    assert isinstance(entry, FlowEntry)
    return entry


# Who may enter.


@pytest.mark.parametrize("original", [TCP, TCP6, UDP, UDP6], ids=str)
@pytest.mark.parametrize("state", [ESTABLISHED, REPLY])
def test_established_tcp_and_udp_enter(original: FlowTuple, state: CtState) -> None:
    act_ct, conntrack = start()
    entry = act_ct.process_conn(tracked(original, zone=ZONE, state=state, mark=7), 0.0)
    assert isinstance(entry, FlowEntry)
    assert entry.tuples == (original, original.inverted())
    assert (entry.zone, entry.mark, entry.in_hardware) == (ZONE, 7, False)
    assert act_ct.entry(entry.id) is entry and list(act_ct) == [entry]
    assert conntrack.watched == {entry.id}


@pytest.mark.parametrize(
    ("proto", "state", "tcp_flags", "reason"),
    [
        (IPPROTO_ICMP, ESTABLISHED, 0, "icmp is never offloaded"),
        (IPPROTO_ICMPV6, ESTABLISHED, 0, "icmpv6 is never offloaded"),
        (IPPROTO_SCTP, ESTABLISHED, 0, "protocol 132 is never offloaded"),
        (IPPROTO_TCP, NEW, TCP_SYN, "not established yet"),
        (IPPROTO_UDP, NEW, 0, "not established yet"),
        (IPPROTO_TCP, REPLY, TCP_SYN | TCP_ACK, "tcp handshake not finished yet"),
        (IPPROTO_TCP, ESTABLISHED, TCP_FIN | TCP_ACK, "tcp connection is closing"),
        (IPPROTO_TCP, ESTABLISHED, TCP_RST, "tcp connection is closing"),
    ],
)
def test_others_stay_in_software_for_a_reason(
    proto: int, state: CtState, tcp_flags: int, reason: str
) -> None:
    packet = tracked(flow_tuple(proto=proto), state=state, tcp_flags=tcp_flags)
    assert why_not(packet).startswith(reason)
    act_ct, _ = start(0)
    refusal = act_ct.process_conn(packet, 0.0)
    assert isinstance(refusal, Refusal)
    assert refusal == Refusal(0, packet.original, why_not(packet))
    assert list(act_ct.refusals) == [refusal]
    assert act_ct.refused[refusal.reason] == 1 and not len(act_ct)


def test_a_zone_without_a_ct_action_has_no_table() -> None:
    act_ct, _ = start(1)
    refusal = act_ct.process_conn(tracked(zone=2), 0.0)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "zone 2 has no ct action"


def test_udp_has_no_flags_to_look_at() -> None:
    assert why_not(tracked(UDP, tcp_flags=TCP_SYN | TCP_FIN)) == ""


def test_a_connection_is_added_once() -> None:
    act_ct, _ = start()
    entry = offer(act_ct)
    assert act_ct.process_conn(tracked(zone=ZONE, state=REPLY), 0.0) is entry
    assert len(act_ct) == 1


def test_one_five_tuple_in_two_zones_is_two_connections() -> None:
    act_ct, _ = start(1, 2)
    assert offer(act_ct, zone=1) is not offer(act_ct, zone=2)
    assert [entry.zone for entry in act_ct] == [1, 2]


def test_nat_is_seen_in_what_the_packet_reads() -> None:
    """After NAT the original direction's packet is the inverse of the reply."""
    act_ct, _ = start()
    translated = flow_tuple("7.7.7.7", sport=61000)
    entry = act_ct.process_conn(tracked(TCP, translated, zone=ZONE), 0.0)
    assert isinstance(entry, FlowEntry)
    assert entry.tuples == (TCP, translated.inverted())
    assert len(entry.rules[Direction.ORIGINAL].mangles) == 2


def test_a_reply_is_its_own_tuple() -> None:
    act_ct, _ = start()
    reply = flow_tuple("10.0.0.4", "10.0.0.1", sport=80, dport=40000)
    entry = act_ct.process_conn(tracked(TCP, reply, zone=ZONE, state=REPLY), 0.0)
    assert isinstance(entry, FlowEntry) and entry.tuples == (TCP, reply)


def test_two_connections_that_share_a_reply_tuple() -> None:
    act_ct, _ = start()
    offer(act_ct)
    other = flow_tuple(sport=40001)
    refusal = act_ct.process_conn(tracked(other, TCP, zone=ZONE), 0.0)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "its reply tuple is another connection's"
    assert offer(act_ct, UDP).id <= 3, "its id was given back"


def test_as_many_as_there_are_tuple_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(act_ct_module, "MAX_ENTRIES", 1)
    act_ct, _ = start()
    offer(act_ct)
    refusal = act_ct.process_conn(tracked(UDP, zone=ZONE), 0.0)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "no tuple id is free: all 1 are in use"
    act_ct.fin_or_rst(tracked(zone=ZONE))
    offer(act_ct, UDP)


# How they leave.


@pytest.mark.parametrize("state", [ESTABLISHED, REPLY])
def test_fin_and_rst_tear_down(state: CtState) -> None:
    act_ct, conntrack = start()
    entry = offer(act_ct)
    closing = tracked(zone=ZONE, state=state, tcp_flags=TCP_FIN)
    assert act_ct.fin_or_rst(closing) is entry
    assert act_ct.fin_or_rst(closing) is None
    assert not len(act_ct) and act_ct.entry(entry.id) is None
    assert not conntrack.watched and not conntrack.calls


def test_a_connection_that_was_never_there() -> None:
    act_ct, _ = start()
    assert act_ct.connection_gone(ZONE, TCP) is None
    assert act_ct.connection_gone(9, TCP) is None


def test_the_last_user_of_a_table_flushes_it() -> None:
    act_ct, conntrack = start(ZONE, ZONE)
    entry = offer(act_ct)
    act_ct.put_table(ZONE)
    assert list(act_ct) == [entry]
    act_ct.put_table(ZONE)
    assert not len(act_ct) and not act_ct.tables
    assert conntrack.calls == [("offer again", ZONE, TCP)]
    assert not conntrack.watched


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_what_is_idle_ages_out_and_may_come_back(profile: Profile) -> None:
    act_ct, conntrack = start(profile=profile)
    entry = offer(act_ct)
    assert act_ct.idle(entry.id, 100.0, 30) is entry
    assert act_ct.idle(entry.id, 100.0, 30) is None
    assert conntrack.calls == [("offer again", ZONE, TCP)]
    assert offer(act_ct).id != entry.id
    act_ct.expire(1e9)
    assert len(conntrack.calls) == 1, "who speaks again is not deleted"


@pytest.mark.parametrize(
    ("profile", "original", "kept_s"),
    [(MLX5_5_7, TCP, 120), (MLX5_5_7, UDP, 30), (MLX5_6_1, UDP, 90)],
)
def test_what_aged_is_kept_as_long_as_the_kernel_lets_it(
    profile: Profile, original: FlowTuple, kept_s: int
) -> None:
    """Linux 6.1: 120 s of an udp stream less the 30 s it was silent already."""
    act_ct, conntrack = start(profile=profile)
    act_ct.idle(offer(act_ct, original).id, 100.0, 30)
    conntrack.calls.clear()
    assert act_ct.remaining_s(ZONE, original, 110.0) == kept_s - 10
    act_ct.expire(100.0 + kept_s - 0.1)
    assert not conntrack.calls
    assert act_ct.remaining_s(ZONE, original, 300.0) == 0
    act_ct.expire(100.0 + kept_s)
    assert conntrack.calls == [("delete", ZONE, original)]
    act_ct.expire(1e9)
    assert len(conntrack.calls) == 1
    assert act_ct.remaining_s(ZONE, original, 300.0) is None


@pytest.mark.parametrize("all_of_them", [False, True])
def test_what_was_deleted_after_it_aged_is_not_deleted_later(all_of_them: bool) -> None:
    """There may be another connection with its addresses and ports by then."""
    act_ct, conntrack = start()
    act_ct.idle(offer(act_ct).id, 100.0, 30)
    live = offer(act_ct, UDP)
    conntrack.calls.clear()
    if all_of_them:
        act_ct.all_gone()
        assert act_ct.entry(live.id) is None and not len(act_ct)
    else:
        act_ct.connection_gone(ZONE, TCP)
        assert act_ct.entry(live.id) is live
    act_ct.expire(1e9)
    assert [call for call in conntrack.calls if call[0] == "delete"] == []


def test_in_6_1_conntracks_own_timeout_is_that_of_tcp() -> None:
    act_ct, conntrack = start(profile=MLX5_6_1)
    act_ct.idle(offer(act_ct).id, 100.0, 30)
    conntrack.calls.clear()
    assert act_ct.remaining_s(ZONE, TCP, 100.0) is None
    act_ct.expire(1e9)
    assert not conntrack.calls


def test_udp_that_speaks_again_is_not_deleted() -> None:
    act_ct, conntrack = start(profile=MLX5_6_1)
    act_ct.idle(offer(act_ct, UDP).id, 100.0, 30)
    again = offer(act_ct, UDP)
    act_ct.expire(200.0)
    act_ct.idle(again.id, 300.0, 200)
    conntrack.calls.clear()
    act_ct.expire(299.9)
    assert not conntrack.calls
    act_ct.expire(300.0)
    assert conntrack.calls == [("delete", ZONE, UDP)]


# Whose they are: hardware's or software's.


def test_a_driver_takes_those_there_are_and_those_to_come() -> None:
    act_ct, conntrack = start()
    before, driver = offer(act_ct), FakeDriver()
    act_ct.register(ZONE, driver)
    after = offer(act_ct, UDP)
    assert before.in_hardware and after.in_hardware
    assert len(driver.held) == 4 and not conntrack.watched
    act_ct.unregister(ZONE, driver)
    assert not driver.held
    assert conntrack.watched == {before.id, after.id}


def test_what_has_no_room_stays_in_software() -> None:
    act_ct, conntrack = start()
    tcp, udp = offer(act_ct), offer(act_ct, UDP)
    driver = FakeDriver(room=3)
    act_ct.register(ZONE, driver)
    assert (tcp.in_hardware, udp.in_hardware) == (True, False)
    assert conntrack.watched == {udp.id} and len(driver.held) == 2
    act_ct.unregister(ZONE, driver)
    assert conntrack.watched == {tcp.id, udp.id}


def test_one_of_two_drivers_leaves() -> None:
    act_ct, conntrack = start()
    first, second = FakeDriver(), FakeDriver()
    act_ct.register(ZONE, first)
    act_ct.register(ZONE, second)
    entry = offer(act_ct)
    act_ct.unregister(ZONE, first)
    assert entry.in_hardware and not conntrack.watched


def test_a_driver_registers_once() -> None:
    act_ct, _ = start()
    driver = FakeDriver()
    act_ct.register(ZONE, driver)
    with pytest.raises(AlreadyRegistered):
        act_ct.register(ZONE, driver)


def test_hardware_that_fails_gives_the_entry_back() -> None:
    act_ct, conntrack = start()
    driver = FakeDriver()
    act_ct.register(ZONE, driver)
    entry = offer(act_ct)
    assert act_ct.hardware_failed(entry.id, "broken") is entry
    assert not entry.in_hardware and not driver.held
    assert conntrack.watched == {entry.id}
    assert act_ct.hardware_failed(entry.id, "broken") is None
    assert act_ct.hardware_failed(99, "broken") is None


def test_what_hardware_takes_for_later_is_watched_until_then() -> None:
    act_ct, conntrack = start()
    act_ct.register(ZONE, lambda _: Taken.LATER)
    entry = offer(act_ct)
    assert conntrack.watched == {entry.id}
    act_ct.hardware_done(entry.id)
    assert entry.in_hardware and not conntrack.watched
    act_ct.hardware_done(entry.id)
    act_ct.hardware_done(99)
    assert not conntrack.watched


def test_what_fails_later_is_tried_again_by_its_next_packet() -> None:
    act_ct, conntrack = start()
    driver = FakeDriver()
    act_ct.register(ZONE, driver)
    entry = offer(act_ct)
    assert not act_ct.try_again(entry.id), "hardware has it"
    act_ct.hardware_failed(entry.id, "no room")
    assert entry.why == "no room"
    assert act_ct.try_again(entry.id) and not act_ct.try_again(99)
    assert conntrack.calls == [("offer again", ZONE, TCP)]
    assert offer(act_ct) is entry and entry.in_hardware
    assert len(driver.held) == 2 and not conntrack.watched


# UDP in a later kernel: by its first commit, and both ways once it has lasted.


def udp(act_ct: ActCt, now_s: float, state: CtState = ESTABLISHED) -> FlowEntry:
    entry = act_ct.process_conn(tracked(UDP, zone=ZONE, state=state), now_s)
    assert isinstance(entry, FlowEntry)
    return entry


def test_udp_enters_by_its_commit_and_is_whole_two_seconds_later() -> None:
    act_ct, conntrack = start(profile=MLX5_6_1)
    driver = FakeDriver()
    act_ct.register(ZONE, driver)
    entry = udp(act_ct, 10.0, NEW)
    assert (entry.established, entry.bidirectional) == (False, False)
    assert udp(act_ct, 10.5, NEW) is entry and not entry.established
    assert udp(act_ct, 11.0, REPLY) is entry
    assert (entry.established, entry.bidirectional) == (True, False)
    assert driver.held == {(entry.id, Direction.ORIGINAL)}
    act_ct.assure(11.9)
    assert not conntrack.calls
    act_ct.assure(12.0)
    assert conntrack.calls == [("offer again", ZONE, UDP)]
    udp(act_ct, 12.5)
    assert entry.bidirectional and len(driver.held) == 2
    act_ct.assure(1e9)
    assert len(conntrack.calls) == 1


def test_udp_that_hardware_has_no_room_for_is_watched_as_what_it_is() -> None:
    act_ct, conntrack = start(profile=MLX5_6_1)
    act_ct.register(ZONE, FakeDriver(room=0))
    entry = udp(act_ct, 10.0, NEW)
    udp(act_ct, 11.0, REPLY)
    assert entry.established and conntrack.watched == {entry.id}
    assert conntrack.watches == [False, True]


def test_udp_that_is_gone_is_not_looked_at_again() -> None:
    act_ct, conntrack = start(profile=MLX5_6_1)
    udp(act_ct, 10.0)
    act_ct.connection_gone(ZONE, UDP)
    act_ct.assure(1e9)
    assert not conntrack.calls


def test_udp_that_was_assured_before_it_aged_comes_back_whole() -> None:
    act_ct, _ = start(profile=MLX5_6_1)
    udp(act_ct, 10.0)
    act_ct.idle(udp(act_ct, 13.0).id, 50.0, 30)
    assert udp(act_ct, 60.0).bidirectional


def test_each_end_of_an_entry_frees_the_hardware() -> None:
    act_ct, conntrack = start()
    driver = FakeDriver()
    act_ct.register(ZONE, driver)
    act_ct.fin_or_rst(tracked(offer(act_ct).tuples[0], zone=ZONE))
    act_ct.idle(offer(act_ct).id, 0.0, 30)
    offer(act_ct)
    act_ct.put_table(ZONE)
    assert not driver.held and not conntrack.watched


def test_only_the_last_refusals_are_kept() -> None:
    act_ct, _ = start()
    for zone in range(1000, 1000 + 2 * act_ct_module.REFUSALS_KEPT):
        act_ct.process_conn(tracked(zone=zone), 0.0)
    assert len(act_ct.refusals) == act_ct_module.REFUSALS_KEPT
    assert act_ct.refused.total() == 2 * act_ct_module.REFUSALS_KEPT
