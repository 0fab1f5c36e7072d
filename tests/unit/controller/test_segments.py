"""``continue``: a chain in segments, and packets through them."""

from __future__ import annotations

import pytest

from controller import fields
from controller.segments import MAX_CUTS, Segments
from offload.errors import Unsupported
from tests.unit.connections import TCP
from tests.unit.controller.bed import LOCAL, PORTS, REP1, Bed, of_connection
from tests.unit.controller.fake_table import get

ADD = "filter add dev ens1f0_0 ingress proto ip prio "
OUT = "action mirred egress redirect dev ens1f0_1"


def test_a_cut_is_behind_its_prio() -> None:
    segments = Segments()
    assert segments.cut(5) and not segments.cut(5) and segments.cut(2)
    assert [segments.of(prio) for prio in (1, 2, 3, 5, 6)] == [0, 0, 1, 1, 2]
    assert not segments.uncut(5) and segments.uncut(5)
    assert segments.of(6) == 1 and len(segments) == 1


def test_a_chain_is_cut_so_often_and_not_more() -> None:
    segments = Segments()
    for prio in range(MAX_CUTS):
        segments.cut(prio)
    with pytest.raises(Unsupported, match="continue: at most 32 prios"):
        segments.cut(MAX_CUTS)
    assert not segments.cut(3), "there already"


def sent(bed: Bed) -> list[int]:
    return bed.send(of_connection(TCP)).ports


def used(bed: Bed) -> dict[int, int]:
    """Packets by prio, in whichever half."""
    return {
        each["pref"]: each["options"]["actions"][0]["stats"]["packets"]
        for each in bed.filters()
    }


@pytest.mark.parametrize("offload", [True, False])
def test_a_packet_continues_behind_the_prio_and_not_before(offload: bool) -> None:
    bed = Bed(offload)
    bed.add(ADD + f"3 flower {OUT}")
    bed.add(ADD + "2 flower action continue")
    assert sent(bed) == [PORTS[REP1]], "the later prio, though it was there before"
    assert used(bed) == {2: 1, 3: 1}
    bed.add(ADD + "1 flower src_ip 9.9.9.9 action continue")
    assert sent(bed) == [PORTS[REP1]], "nothing found in the first segment"
    bed.add(ADD + "4 flower action drop")
    bed.tc("filter del dev ens1f0_0 ingress prio 3")
    assert sent(bed) == []
    assert used(bed) == {1: 0, 2: 3, 4: 1}


def test_nothing_behind_it_passes_to_the_stack() -> None:
    bed = Bed()
    bed.add(ADD + "2 flower action continue")
    bed.add(ADD + "2 flower src_ip 9.9.9.9 action drop")
    assert sent(bed) == [LOCAL]


def test_the_last_one_gone_the_chain_is_whole_again() -> None:
    bed = Bed()
    rules = len(bed.table.standing)
    bed.add(ADD + f"7 flower {OUT}")
    whole = set(bed.table.standing)
    bed.add(ADD + "2 flower action continue")
    bed.add(ADD + "2 flower src_ip 9.9.9.9 action continue")
    assert set(bed.table.standing) != whole
    bed.tc("filter del dev ens1f0_0 ingress prio 2")
    assert set(bed.table.standing) == whole
    assert sent(bed) == [PORTS[REP1]]
    bed.tc("filter del dev ens1f0_0 ingress prio 7")
    assert len(bed.table.standing) == rules


def test_what_ct_found_continues_too() -> None:
    bed = Bed()
    bed.add(ADD + "1 flower ct_state -trk action ct continue")
    bed.add(ADD + f"2 flower ct_state +trk {OUT}")
    [(port, packet)] = bed.send(of_connection(TCP)).outputs
    assert port == PORTS[REP1] and get(packet, fields.CT_STATE)


def test_a_goto_begins_at_the_first_segment() -> None:
    bed = Bed()
    bed.add(ADD + "1 flower action continue")
    bed.add(ADD + "2 flower action goto chain 5")
    bed.add(ADD + f"1 chain 5 flower {OUT}")
    assert sent(bed) == [PORTS[REP1]]


def test_a_switch_that_comes_back_is_told_the_cuts() -> None:
    bed = Bed()
    bed.add(ADD + "1 flower action continue", ADD + f"2 flower {OUT}")
    before = set(bed.table.standing)
    bed.connect()
    assert set(bed.table.standing) == before
