"""The emulated card: entries that find no room, wait, fail, and come in later."""

from __future__ import annotations

import pytest

from controller.card import INSERTION_FAILED, WORK, BadSetting, Card
from controller.rules import Owner, Table
from offload.conntrack import TCP_FIN, FlowTuple
from offload.flow_table import PENDING, FlowEntry
from offload.profile import DEFAULT, MLX5_6_1, Profile
from tests.unit.connections import TCP, UDP, flow_tuple, tracked
from tests.unit.controller.bed import LETTER, WAY_BACK, Bed, from_tunnel, of_connection

OTHER = flow_tuple(sport=40001)


def letter(profile: Profile = DEFAULT, **card: int) -> Bed:
    bed = Bed(profile=profile, card=tuple(card.items()))
    bed.add(*LETTER, *WAY_BACK)
    return bed


def talk(bed: Bed, original: FlowTuple = UDP) -> FlowEntry | None:
    """A question and an answer."""
    bed.send(of_connection(original))
    bed.send(from_tunnel(of_connection(original.inverted())))
    found = [each for each in bed.entries() if each.tuples[0] == original]
    return found[0] if found else None


def rules(bed: Bed) -> int:
    return len(bed.table.rules(Table.HW_CT, Owner.ENTRY))


def test_a_full_table_and_then_room_again() -> None:
    """The entry lives in software, watched, and comes in by its next packet."""
    bed = letter(ct_rules=2)
    talk(bed, TCP)
    waiting = talk(bed, OTHER)
    assert waiting is not None and not waiting.in_hardware
    assert waiting.why == "no room: all 2 ct_rules are in use"
    assert rules(bed) == 2 and len(bed.table.rules(Table.SW_TRACK, Owner.ENTRY)) == 1
    bed.hypervisor.tick(bed.now_s)
    assert not bed.send(of_connection(OTHER)).copies, "no room, nothing to try"
    bed.hypervisor.forget(0, TCP)
    bed.hypervisor.tick(bed.now_s)
    bed.deliver()
    assert len(bed.send(of_connection(OTHER)).copies) == 1
    assert waiting.in_hardware and rules(bed) == 2
    assert bed.send(of_connection(OTHER)).in_hardware
    assert not bed.table.rules(Table.SW_TRACK, Owner.ENTRY)


def test_half_an_entry_is_taken_back() -> None:
    """Room for one direction of two: no trace of it stays."""
    bed = letter(ct_rules=3)
    talk(bed, TCP)
    waiting = talk(bed, OTHER)
    assert waiting is not None and not waiting.in_hardware
    assert rules(bed) == 2 and len(bed.table.rules(Table.CT_AGE, Owner.ENTRY)) == 1


def test_a_card_that_always_fails_and_then_never() -> None:
    bed = letter(ct_insert_failure_percent=100)
    entry = talk(bed)
    assert entry is not None and entry.why == INSERTION_FAILED and not rules(bed)
    bed.hypervisor.card.set("ct_insert_failure_percent", 0)
    bed.hypervisor.tick(bed.now_s)
    bed.deliver()
    bed.send(of_connection(UDP))
    assert entry.in_hardware and rules(bed) == 2


def test_the_same_seed_fails_the_same_insertions() -> None:
    def failures(seed: int) -> list[bool]:
        card = Card(DEFAULT)
        card.set("ct_insert_failure_percent", 50)
        card.set("ct_insert_seed", seed)
        return [card.fails() for _ in range(64)]

    assert failures(7) == failures(7) != failures(8)
    assert 10 < sum(failures(7)) < 54


def test_what_the_card_takes_its_time_for_goes_on_in_software_until_then() -> None:
    bed = letter(ct_insert_latency_us=200_000)
    entry = talk(bed)
    assert entry is not None and entry.why == PENDING and not rules(bed)
    assert {each.delay_s for each in bed.later} == {0.2}
    assert not bed.send(of_connection(UDP)).in_hardware
    bed.card_is_done()
    assert entry.in_hardware and rules(bed) == 2
    assert bed.send(of_connection(UDP)).in_hardware


def test_one_direction_done_is_not_all_of_it() -> None:
    bed = letter(ct_insert_latency_us=1)
    entry = talk(bed)
    bed.hypervisor.insertion_due(bed.later[0])
    assert entry is not None and entry.why == PENDING


def test_what_closed_meanwhile_is_never_inserted() -> None:
    bed = letter(ct_insert_latency_us=1)
    talk(bed, TCP)
    bed.hypervisor.packet(tracked(TCP, tcp_flags=TCP_FIN), bed.now_s)
    bed.card_is_done()
    assert not bed.entries() and not bed.table.owners()[Owner.ENTRY]
    assert all(each.occupied == 0 for each in bed.hypervisor.card.resources()[:2])


@pytest.mark.parametrize("at", [0, 1])
def test_a_late_failure_takes_the_other_direction_along(at: int) -> None:
    bed = letter(ct_insert_latency_us=1)
    entry = talk(bed)
    good, bad = bed.later[1 - at], bed.later[at]
    bed.hypervisor.insertion_due(good)
    bed.hypervisor.card.set("ct_insert_failure_percent", 100)
    bed.hypervisor.insertion_due(bad)
    bed.deliver()
    assert entry is not None and entry.why == INSERTION_FAILED
    assert not rules(bed) and len(bed.table.rules(Table.SW_TRACK, Owner.ENTRY)) == 1


def test_a_switch_that_comes_back_is_not_waited_for_by_what_was_pending() -> None:
    bed = letter(ct_insert_latency_us=1)
    entry = talk(bed)
    bed.connect()
    bed.card_is_done()
    assert entry is not None and entry.why == "the switch went away"
    assert not rules(bed)
    bed.hypervisor.tick(bed.now_s)
    bed.deliver()
    bed.send(of_connection(UDP))
    bed.card_is_done()
    assert entry.in_hardware


def test_labels_have_ids_in_a_later_generation() -> None:
    bed = letter(MLX5_6_1, label_ids=1)
    for label, original in ((5, TCP), (6, OTHER), (5, flow_tuple(sport=9))):
        bed.hypervisor.packet(tracked(original, label=label), 0.0)
    bed.deliver()
    whys = {each.label: each.why for each in bed.entries()}
    assert whys == {5: "", 6: "no label id is free: all 1 are in use"}
    assert rules(bed) == 4
    for original in (TCP, flow_tuple(sport=9)):
        bed.hypervisor.forget(0, original)
    bed.hypervisor.tick(bed.now_s)
    bed.hypervisor.tick(bed.now_s + 2)
    bed.hypervisor.packet(tracked(OTHER, label=6), bed.now_s)
    assert [each.why for each in bed.entries()] == [""]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ct_rulez", 1, "the card has no ct_rulez: there are ct_rules, tuple_ids, "),
        ("ct_rules", -1, "ct_rules: -1 is no size"),
        ("ct_insert_failure_percent", 101, "must be from 0 to 100"),
    ],
)
def test_settings_of_nonsense(name: str, value: int, reason: str) -> None:
    card = Card(DEFAULT)
    before = (card.resources(), card.work)
    with pytest.raises(BadSetting, match=reason):
        card.set(name, value)
    assert (card.resources(), card.work) == before


def test_everything_can_be_set() -> None:
    card = Card(DEFAULT)
    for name in [each.name for each in card.resources()]:
        card.set(name, 3)
    for name in WORK:
        card.set(name, 3)
    assert {each.size for each in card.resources()} == {3}
    assert card.room == 1
