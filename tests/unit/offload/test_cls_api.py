"""Devices, chains, prios and filters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.actions import DROP, Action, Control, Ct, Gact, Verb
from offload.cls_api import FIRST_AUTO_PRIO, Change, Classifier, Filter, Point
from offload.errors import KernelError
from offload.flower import ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, Key, KeyMatch, Match

DEV = Point("ens1f0_0")
DROPS: tuple[Action, ...] = (Gact(DROP),)
NO_SUCH_PRIO = "Filter with specified priority/protocol not found"


def ip(*ports: int, mask: int = 0xFFFF) -> Match:
    keys = tuple(KeyMatch(Key.DST_PORT, port & mask, mask) for port in ports)
    return Match(ETH_P_IP, keys)


def add(classifier: Classifier, match: Match = ip(1), **where: Any) -> Filter:
    filter_ = classifier.prepare(DEV, match, DROPS, **where)
    classifier.block(DEV).insert(filter_)
    return filter_


@contextmanager
def refused(words: str) -> Iterator[None]:
    """The kernel says exactly this, in an extack or as an error number."""
    with pytest.raises(KernelError) as raised:
        yield
    assert str(raised.value) == words


def test_a_prepared_filter_is_not_there_yet() -> None:
    classifier = Classifier()
    filter_ = classifier.prepare(DEV, ip(1), DROPS, chain=3, prio=4)
    assert not list(classifier.block(DEV))
    classifier.block(DEV).insert(filter_)
    assert list(classifier.block(DEV)) == [filter_]
    assert (filter_.chain, filter_.prio, filter_.handle) == (3, 4, 1)
    assert filter_.protocol == ETH_P_IP and filter_.point == DEV


def test_a_prio_gives_the_lowest_free_handle() -> None:
    classifier = Classifier()
    handles = [
        add(classifier, ip(1), prio=1).handle,
        add(classifier, ip(2), prio=1, handle=9).handle,
        add(classifier, ip(3), prio=1).handle,
        add(classifier, ip(1), prio=2).handle,
    ]
    assert handles == [1, 9, 2, 1]


def test_a_handle_is_given_again() -> None:
    classifier = Classifier()
    first, second, _ = (add(classifier, ip(n), prio=1) for n in range(3))
    for gone in (second, first):
        classifier.block(gone.point).remove(gone)
    assert [add(classifier, ip(n), prio=1).handle for n in range(3, 6)] == [1, 2, 4]


def test_a_freed_handle_that_was_asked_for() -> None:
    classifier = Classifier()
    first, _ = (add(classifier, ip(n), prio=1) for n in range(2))
    classifier.block(first.point).remove(first)
    add(classifier, ip(2), prio=1, handle=1)
    assert add(classifier, ip(3), prio=1).handle == 3


STEPS = st.lists(st.tuples(st.integers(-8, 8), st.integers(1, 3)), max_size=30)


@settings(max_examples=60)
@given(STEPS)
def test_handles_and_masks_whatever_comes_and_goes(
    steps: list[tuple[int, int]],
) -> None:
    """A step adds a filter (with that handle, or 0 for any), or removes one.

    A filter that names no handle gets the lowest, and masks rank in their order.
    """
    classifier = Classifier()
    block, there = classifier.block(DEV), dict[int, Filter]()
    masks: list[int] = []
    for number, (handle, bits) in enumerate(steps, 1):
        if handle < 0:
            gone = there.pop(-handle, None)
            if gone is not None:
                block.remove(gone)
        elif handle not in there:
            mask = 0xFFFF & ~((1 << bits) - 1)
            added = add(classifier, ip(number << 4, mask=mask), prio=1, handle=handle)
            lowest = next(free for free in range(1, 40) if free not in there)
            assert added.handle == (handle or lowest)
            there[added.handle] = added
            masks += [bits] if bits not in masks else []
        live = {_low_zeros(each): each for each in there.values()}
        masks = [each for each in masks if each in live]
        ranks = [block.mask_rank(live[each]) for each in masks]
        assert ranks == sorted(set(ranks))


def _low_zeros(filter_: Filter) -> int:
    [(_, mask)] = filter_.match.mask.keys
    return (mask & -mask).bit_length() - 1


def test_a_filter_that_names_no_prio_comes_before_all() -> None:
    classifier = Classifier()
    prios = [add(classifier, ip(port)).prio for port in range(3)]
    assert prios == [FIRST_AUTO_PRIO, FIRST_AUTO_PRIO - 1, FIRST_AUTO_PRIO - 2]
    assert add(classifier, chain=1).prio == FIRST_AUTO_PRIO
    add(classifier, ip(9), prio=10)
    assert add(classifier, ip(10)).prio == FIRST_AUTO_PRIO - 3


def test_what_a_prio_does_not_take() -> None:
    classifier = Classifier()
    add(classifier, ip(1), prio=1, handle=1)
    with refused(NO_SUCH_PRIO):
        add(classifier, Match(ETH_P_ARP), prio=1)
    with refused("Filter already exists"):
        add(classifier, ip(2), prio=1, handle=1)
    with refused("File exists"):
        add(classifier, ip(1), prio=1)
    assert len(list(classifier.block(DEV))) == 1
    add(classifier, ip(1), prio=2)
    add(classifier, Match(ETH_P_ARP), prio=1, chain=1)


def test_within_a_prio_the_first_added_mask_wins() -> None:
    classifier = Classifier()
    block = classifier.block(DEV)
    wide = add(classifier, ip(0x100, mask=0xFF00), prio=1)
    exact = add(classifier, ip(0x101), prio=1)
    another = add(classifier, ip(0x102), prio=1)
    assert [block.mask_rank(each) for each in (wide, exact, another)] == [0, 1, 1]
    block.remove(wide)
    again = add(classifier, ip(0x200, mask=0xFF00), prio=1)
    assert [block.mask_rank(each) for each in (exact, again)] == [1, 2]


def test_a_mask_is_there_as_long_as_a_filter_has_it() -> None:
    classifier = Classifier()
    block = classifier.block(DEV)
    one, two = add(classifier, ip(1), prio=1), add(classifier, ip(2), prio=1)
    block.remove(one)
    assert block.has_mask(one)
    block.remove(two)
    assert not block.has_mask(one) and not block.chains
    assert block.priority(0, 1) is None


def test_the_last_of_a_prio_takes_it_along() -> None:
    classifier = Classifier()
    block = classifier.block(DEV)
    one, two = add(classifier, prio=1), add(classifier, prio=2)
    block.remove(one)
    assert block.priority(0, 1) is None
    assert block.chains[0].prios[2].protocol == ETH_P_IP
    add(classifier, Match(ETH_P_IPV6), prio=1)
    assert two in list(block)


def test_chains_are_listed_as_they_were_made() -> None:
    """One that actions lead to is made by them; prios and handles are in order."""
    classifier = Classifier()
    goto = (Gact(Control(Verb.GOTO_CHAIN, 7)),)
    classifier.block(DEV).insert(classifier.prepare(DEV, ip(9), goto, chain=2, prio=1))
    for chain, prio in [(0, 5), (7, 1), (0, 2)]:
        add(classifier, ip(2), chain=chain, prio=prio)
        add(classifier, ip(1), chain=chain, prio=prio)
    listed = [(f.chain, f.prio, f.handle) for f in classifier.block(DEV)]
    places = [(7, 1), (0, 2), (0, 5)]
    assert listed == [(2, 1, 1), *((*place, at) for place in places for at in (1, 2))]


def test_a_chain_that_actions_lead_to_is_not_there_for_users() -> None:
    classifier = Classifier()
    block = classifier.block(DEV)
    goto = (Gact(Control(Verb.GOTO_CHAIN, 7)),)
    filter_ = classifier.prepare(DEV, ip(1), goto, prio=1)
    block.insert(filter_)
    with refused("Cannot find specified filter chain"):
        classifier.find_chain(DEV, 7)
    with refused(NO_SUCH_PRIO):
        classifier.find(DEV, 7, 1, None, 0)
    classifier.add_chain(DEV, 7)
    assert not list(classifier.find_chain(DEV, 7))
    with refused("Filter chain already exists"):
        classifier.add_chain(DEV, 7)
    classifier.delete_chain(DEV, 7)
    assert 7 in block.chains, "actions still lead there"
    block.remove(filter_)
    assert not block.chains


def test_a_chain_that_was_added_stays_without_filters() -> None:
    classifier = Classifier()
    classifier.add_chain(DEV, 3)
    filter_ = add(classifier, chain=3)
    classifier.block(DEV).remove(filter_)
    assert classifier.to_delete(DEV, chain=3) == []
    assert not classifier.find_chain(DEV, 3).prios
    classifier.delete_chain(DEV, 3)
    classifier.delete_chain(DEV, 3)
    assert not classifier.block(DEV).chains
    classifier.add_chain(DEV, 3)
    classifier.forget_chains(DEV.device)
    assert not classifier.block(DEV).chains


def replaced(classifier: Classifier, match: Match, **where: Any) -> Filter:
    where.setdefault("change", Change.REPLACE)
    new = classifier.prepare(DEV, match, DROPS, prio=1, **where)
    old = classifier.block(DEV).get(new.chain, new.prio, new.handle)
    assert old is not None
    classifier.block(DEV).replace(old, new)
    return new


def test_a_filter_is_replaced_in_its_place() -> None:
    classifier = Classifier()
    add(classifier, ip(1), prio=1, handle=1)
    other = add(classifier, ip(2), prio=1, handle=2)
    new = replaced(classifier, ip(3), handle=1)
    assert list(classifier.block(DEV)) == [new, other]
    changed = replaced(classifier, ip(3), handle=1, change=Change.CHANGE)
    assert changed.match == new.match and changed.id > new.id
    add(classifier, ip(1), prio=1)


def test_what_cannot_be_replaced_or_changed() -> None:
    classifier = Classifier()
    add(classifier, ip(1), prio=1, handle=1)
    add(classifier, ip(2), prio=1, handle=2)
    with refused("Invalid argument"):  # another mask
        replaced(classifier, ip(1, mask=0xFF00), handle=1)
    with refused("File exists"):  # another filter's match
        replaced(classifier, ip(2), handle=1)
    with refused("File exists"):  # no handle: a new filter
        replaced(classifier, ip(2))
    nothing = "Need both RTM_NEWTFILTER and NLM_F_CREATE to create a new filter"
    for chain, handle in ((0, 9), (0, 0), (9, 1)):
        with refused(nothing):
            replaced(
                classifier, ip(3), change=Change.CHANGE, chain=chain, handle=handle
            )
    with refused(NO_SUCH_PRIO):
        replaced(classifier, Match(ETH_P_ARP), handle=1)


def test_a_copy_stands_at_another_device() -> None:
    classifier = Classifier()
    filter_ = add(classifier, prio=1)
    copy = classifier.copied(filter_, "ens1f0_1")
    assert (copy.device, copy.match) == ("ens1f0_1", filter_.match)
    assert copy.id > filter_.id


def test_devices_do_not_meet() -> None:
    classifier = Classifier()
    add(classifier, prio=1)
    assert not list(classifier.block(Point("ens1f0_1")))
    assert not list(classifier.block(DEV._replace(egress=True)))


def test_zones_are_those_looked_up() -> None:
    actions = (Ct(clear=True), Ct(zone=3), Gact(DROP), Ct(zone=3, commit=True))
    assert Classifier().prepare(DEV, ip(1), actions).zones == (3, 3)


def test_delete_a_chain_a_prio_or_one() -> None:
    classifier = Classifier()
    one = add(classifier, ip(1), prio=1)
    two = add(classifier, ip(2), prio=1)
    three = add(classifier, ip(3), prio=2)
    elsewhere = add(classifier, prio=1, chain=2)
    assert classifier.to_delete(DEV) == [one, two, three]
    assert classifier.to_delete(DEV, chain=2) == [elsewhere]
    assert classifier.to_delete(DEV, prio=1) == [one, two]
    assert classifier.to_delete(DEV, prio=1, protocol=ETH_P_IP) == [one, two]
    assert classifier.to_delete(DEV, prio=1, handle=2) == [two]


def test_what_cannot_be_deleted() -> None:
    classifier = Classifier()
    add(classifier, prio=1)
    cannot_flush = "Cannot flush filters with protocol, handle or kind set"
    with refused(cannot_flush):
        classifier.to_delete(DEV, protocol=ETH_P_IP)
    with refused(cannot_flush):
        classifier.to_delete(DEV, handle=1)
    with refused(NO_SUCH_PRIO):
        classifier.to_delete(DEV, prio=2)
    with refused(NO_SUCH_PRIO):
        classifier.to_delete(DEV, prio=1, protocol=ETH_P_ARP)
    with refused("Specified filter handle not found"):
        classifier.to_delete(DEV, prio=1, handle=2)
    with refused("Cannot find specified filter chain"):
        classifier.to_delete(DEV, prio=1, chain=9)
    with refused("Cannot find specified filter chain"):
        classifier.to_delete(Point("ens1f0_1"), prio=1)
