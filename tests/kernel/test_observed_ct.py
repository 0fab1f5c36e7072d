"""What `ct` does to packets that are no plain segment, and who is in the flow table when.

The observations 7 to 26 of kernel-observed.md that test_observed.py does not have.
"""

from __future__ import annotations

import pytest
from scapy.all import ARP, ICMP, IP, UDP, Dot1Q, Ether, Raw, fragment

from tests.kernel.cases.case import Command, Send, Wait
from tests.kernel.conftest import Compared
from tests.kernel.frames import (
    CLIENT,
    CLIENT_MAC,
    CLIENT_PORT,
    SERVER,
    SERVER_MAC,
    SERVER_PORT,
    Talk,
)
from tests.kernel.pair import add, both, pair, to, tracking
from tests.kernel.reading import filters_at, offloaded, went

TALK = Talk()
NAT = "192.0.2.1"
ETHER = Ether(src=CLIENT_MAC, dst=SERVER_MAC)
THERE = IP(src=CLIENT, dst=SERVER)
EVERYTHING = (
    f"tc filter add dev {CLIENT_PORT} ingress prio 1 proto all flower "
    f"action ct pipe action {to(SERVER_PORT)}",
)


def client(frame: Ether) -> Send:
    return Send(CLIENT_PORT, bytes(frame))


def test_7_no_filter_of_a_chain_takes_it(compared: Compared) -> None:
    """Neither dropped nor back to the chain before: to the stack, as it is by then."""
    munge = "pedit ex munge ip ttl set 9 pipe action csum ip4h pipe"
    commands = (
        add(CLIENT_PORT, 0, 1, "", munge, "goto chain 5"),
        add(CLIENT_PORT, 0, 2, "", to(SERVER_PORT)),
        add(CLIENT_PORT, 5, 1, "ip_proto udp", to(SERVER_PORT)),
    )
    outcome = compared.run(pair("miss", commands, TALK.out("S")))
    (seen,) = outcome.steps[0].stack
    assert Ether(seen.frame)[IP].ttl == 9
    assert outcome.steps[0].left == ()


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(ETHER / ARP(hwsrc=CLIENT_MAC, psrc=CLIENT), id="arp"),
        pytest.param(Ether(bytes(ETHER)[:12] + b"\x12\x34" + bytes(46)), id="unknown"),
        pytest.param(Ether(bytes(ETHER)[:12] + b"\x08\x00\x45\x00\x00"), id="cut-off"),
    ],
)
def test_10_what_is_no_ip_is_dropped_by_ct(compared: Compared, frame: Ether) -> None:
    """Or is cut off; the action after it does not see it."""
    outcome = compared.run(pair("no ip", EVERYTHING, client(frame)))
    assert went(outcome.steps[0]) == []
    (shown,) = filters_at(outcome, CLIENT_PORT)
    drops = [each["stats"]["drops"] for each in shown["options"]["actions"]]
    assert drops == [1, 0]


def test_11_padding_is_cut_off(compared: Compared) -> None:
    """Open vSwitch leaves it: not compared."""
    frame = bytes(ETHER / THERE / UDP(sport=1, dport=2) / Raw(b"x"))
    outcome = compared.run(
        pair("padded", EVERYTHING, Send(CLIENT_PORT, frame + bytes(17)))
    )
    assert [seen.frame for seen in outcome.steps[0].left] == [frame]


def test_12_fragments_leave_when_all_are_there(compared: Compared) -> None:
    """Each as it came, in their order."""
    whole = Ether(bytes(ETHER / THERE / UDP(sport=1000, dport=2000) / Raw(bytes(1000))))
    pieces = [bytes(each) for each in fragment(whole, fragsize=400)]
    commands = tracking(CLIENT_PORT)
    steps = [Send(CLIENT_PORT, piece) for piece in pieces]
    outcome = compared.run(pair("fragments", commands, *steps))
    left = [[seen.frame for seen in step.left] for step in outcome.steps]
    assert left == [[], [], pieces]


def test_13_twice_in_one_zone_is_once(compared: Compared) -> None:
    """In another zone it is looked up anew: two connections, both in a flow table."""
    twice = "ct zone 1 pipe", "ct zone 1 pipe", "ct zone 2 pipe", "goto chain 2"
    commits = "ct commit zone 2 pipe", "ct commit zone 1 pipe"
    commands = tuple(
        command
        for here, other in ((CLIENT_PORT, SERVER_PORT), (SERVER_PORT, CLIENT_PORT))
        for command in (
            add(here, 0, 1, "ct_state -trk", *twice),
            add(here, 2, 1, "ct_state +trk+new ct_zone 2", *commits, to(other)),
            add(here, 2, 2, "ct_state +trk+est ct_zone 2", to(other)),
        )
    )
    data = TALK.out("PA", 1, 1, 10), TALK.back("PA", 1, 11, 10)
    outcome = compared.run(pair("zones", commands, *TALK.handshake(), *data))
    assert sorted(each.zone for each in outcome.connections) == [1, 2]
    assert offloaded(outcome.steps[-1]) == [True, True]


def test_15_a_tag_does_not_keep_ct_from_it(compared: Compared) -> None:
    """It is tracked, and leaves with its tag."""
    tagged = ETHER / Dot1Q(vlan=5) / THERE / UDP(sport=1, dport=2) / Raw(b"data")
    commands = (
        f"tc filter add dev {CLIENT_PORT} ingress prio 1 proto 802.1q flower "
        f"action ct commit pipe action {to(SERVER_PORT)}",
    )
    outcome = compared.run(pair("tag", commands, client(tagged)))
    assert [seen.frame for seen in outcome.steps[0].left] == [bytes(tagged)]
    assert len(outcome.connections) == 1


def test_16_what_closes_before_it_is_assured_never_enters(compared: Compared) -> None:
    """Picked up in its middle, and answered by a FIN."""
    steps = (
        *(TALK.out("PA", 1, 1, 10), TALK.back("FA", 1, 11), TALK.out("A", 11, 2)),
        *(TALK.back("A", 2, 11), TALK.out("PA", 11, 2, 10)),
    )
    outcome = compared.run(pair("closes", both(), *steps))
    assert [offloaded(step) for step in outcome.steps] == [[False]] * 5


def test_18_udp_enters_with_its_first_commit(compared: Compared) -> None:
    """It is new until the reply all the same; replies are looked up until it is assured."""
    steps = (
        *(TALK.udp_out(), TALK.udp_out(), TALK.udp_back(), TALK.udp_out()),
        *(Wait(2.5), TALK.udp_back(), TALK.udp_out()),
    )
    outcome = compared.run(pair("udp", both(), *steps))
    assert all(offloaded(step) == [True] for step in outcome.steps)
    (connection,) = outcome.connections
    assert "ASSURED" in connection.status


@pytest.mark.differs("userspace Open vSwitch's conntrack does not know GRE")
def test_19_gre_enters_when_it_is_assured(compared: Compared) -> None:
    """With its third packet."""
    key = bytes.fromhex("00000800") + b"data"
    there = client(ETHER / IP(src=CLIENT, dst=SERVER, proto=47) / Raw(key))
    back = Send(
        SERVER_PORT,
        bytes(
            Ether(src=SERVER_MAC, dst=CLIENT_MAC)
            / IP(src=SERVER, dst=CLIENT, proto=47)
            / Raw(key)
        ),
    )
    outcome = compared.run(pair("gre", both(), there, back, there, back, there))
    assert offloaded(outcome.steps[-1]) == [True]


def test_19_icmp_never_enters(compared: Compared) -> None:
    """However often it is answered."""
    echo = Talk(client=SERVER, server=CLIENT).icmp_out(0).frame
    answer = Ether(echo)
    answer.src, answer.dst = SERVER_MAC, CLIENT_MAC
    back = Send(SERVER_PORT, bytes(answer))
    steps = (TALK.icmp_out(8), back) * 3
    outcome = compared.run(pair("icmp", both(), *steps))
    assert offloaded(outcome.steps[-1]) == [False]


def test_20_in_its_last_hop_it_is_not_the_flow_tables(compared: Compared) -> None:
    """Conntrack sees it, and it is forwarded all the same."""
    segment = TALK.tcp("PA", 1001, 5001, 10)
    last = client(ETHER / IP(src=CLIENT, dst=SERVER, ttl=1) / segment)
    outcome = compared.run(pair("ttl", both(), *TALK.handshake(), last))
    assert went(outcome.steps[-1]) == [SERVER_PORT]
    assert offloaded(outcome.steps[-1]) == [True]


def test_22_deleted_while_it_is_in_the_flow_table(compared: Compared) -> None:
    """The next packet is new: picked up in the middle."""
    delete = Command("conntrack -D -p tcp")
    data = TALK.out("PA", 1, 1, 10), TALK.out("PA", 11, 1, 10)
    steps = (*TALK.handshake(), data[0], delete, data[1])
    outcome = compared.run(pair("delete", both(), *steps))
    assert outcome.steps[-2].connections == ()
    (connection,) = outcome.connections
    assert connection.status == ("CONFIRMED",)


SYN = (TALK.out("S"),)
MIDDLE = (TALK.out("PA", 1, 1, 10),)


@pytest.mark.parametrize(
    ("before", "rst", "goes"),
    [
        pytest.param(SYN, TALK.back("RA", 0, 1), True, id="refused"),
        pytest.param(SYN, TALK.back("R"), True, id="refused without an ACK"),
        pytest.param(SYN, TALK.out("R", 1), True, id="given up"),
        pytest.param(SYN, TALK.out("RA", 1, 1), False, id="what was never heard"),
        pytest.param(
            *(SYN, TALK.back("RA", 0, 900), False),
            id="an answer to something else",
            marks=pytest.mark.differs("Open vSwitch does not look at the number"),
        ),
        pytest.param(MIDDLE, TALK.out("RA", 11, 1), True, id="middle"),
        pytest.param(MIDDLE, TALK.back("R", 1 << 30), True, id="middle refused"),
    ],
)
def test_a_rst_before_an_answer(
    compared: Compared, before: tuple[Send, ...], rst: Send, goes: bool
) -> None:
    """The connection is forgotten at once, and the RST passes; or it is invalid."""
    outcome = compared.run(pair("rst", both(), *before, rst))
    assert (outcome.connections == ()) is goes
    assert went(outcome.steps[-1]) != ["stack"] or not goes


FIN_FIRST = (*MIDDLE, TALK.out("FA", 11, 1))


@pytest.mark.parametrize(
    ("then", "left"),
    [
        pytest.param((TALK.out("A", 12, 1), TALK.out("FA", 11, 1)), 1, id="on"),
        pytest.param(
            *(
                (
                    TALK.back("A", 1, 12),
                    TALK.out("A", 12, 1),
                    TALK.back("PA", 1, 12, 9),
                ),
                1,
            ),
            id="answered",
        ),
        pytest.param((TALK.back("FA", 1, 12), TALK.out("A", 12, 2)), 1, id="closed"),
        pytest.param((TALK.out("R", 12),), 0, id="given up"),
        pytest.param((TALK.out("RA", 12, 1),), 0, id="given up with an ACK"),
        pytest.param((TALK.back("R", 1),), 0, id="refused"),
        pytest.param(
            *((TALK.back("A", 1, 12), TALK.out("S", 5000), TALK.out("A", 12, 1)), 1),
            id="used again",
        ),
    ],
)
def test_a_fin_before_any_answer(
    compared: Compared, then: tuple[Send, ...], left: int
) -> None:
    """Of a connection picked up in its middle: it closes, and is not offloaded any more."""
    outcome = compared.run(pair("fin first", both(), *FIN_FIRST, *then))
    assert [offloaded(step) for step in outcome.steps if any(offloaded(step))] == []
    assert len(outcome.connections) == left


ANSWERED = (TALK.back("A", 1, 11), TALK.out("A", 11, 1))


@pytest.mark.parametrize(
    "ends",
    [
        (TALK.out("FA", 11, 1), TALK.out("A", 12, 1), TALK.back("PA", 1, 12, 9)),
        (TALK.back("FA", 1, 11), TALK.out("A", 11, 2), TALK.out("PA", 11, 2, 9)),
        (TALK.out("FA", 11, 1), TALK.out("RA", 12, 1)),
        (TALK.out("FA", 11, 1), TALK.back("R", 1)),
        (TALK.back("FA", 1, 11), TALK.back("RA", 2, 11)),
    ],
)
def test_a_fin_behind_the_offload_of_one_picked_up(
    compared: Compared, ends: tuple[Send, ...]
) -> None:
    """It was answered: what follows is established, and a RST does not make it forgotten."""
    steps = (*MIDDLE, *ANSWERED, *ends)
    outcome = compared.run(pair("picked up", both(), *steps))
    assert offloaded(outcome.steps[2]) == [True]
    assert len(outcome.connections) == 1
    assert all("stack" not in went(step) for step in outcome.steps)


def test_25_what_nat_has_no_port_for_is_dropped(compared: Compared) -> None:
    """Two clients, and one port for both."""
    nat = f"ct commit nat src addr {NAT} port 1000"
    commands = tracking(CLIENT_PORT, "ct nat", nat)
    other = Talk(client="10.0.0.3")
    steps = TALK.udp_out(), other.udp_out()
    outcome = compared.run(pair("full", commands, *steps))
    assert [went(step) for step in outcome.steps] == [[SERVER_PORT], []]


def test_26_an_error_is_translated_inside_too(compared: Compared) -> None:
    """It is related, and a reply."""
    related = add(SERVER_PORT, 2, 3, "ct_state +trk+rel+rpl", to(CLIENT_PORT))
    commands = (
        *tracking(CLIENT_PORT, "ct nat", f"ct commit nat src addr {NAT}"),
        *(*tracking(SERVER_PORT, "ct nat"), related),
    )
    about = bytes(IP(src=NAT, dst=SERVER) / UDP(sport=1000, dport=80) / bytes(8))
    error = IP(src=SERVER, dst=NAT) / ICMP(type=3, code=1) / Raw(about[:28])
    back = Send(SERVER_PORT, bytes(Ether(src=SERVER_MAC, dst=CLIENT_MAC) / error))
    outcome = compared.run(pair("error", commands, TALK.udp_out(), back))
    (seen,) = outcome.steps[1].left
    packet = Ether(seen.frame)
    assert (packet[IP].dst, packet[ICMP].payload.src) == (CLIENT, CLIENT)
