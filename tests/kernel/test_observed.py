"""The observations of kernel-observed.md, as cases on both; the number of each stands beside it.

What a test asserts is the kernel's; `compared` holds the testbed against it.
"""

from __future__ import annotations

import pytest
from scapy.all import ICMP, IP, TCP, Ether

from tests.kernel.cases.case import Command, Send, Wait
from tests.kernel.cases.outcome import EventKind, Tuple
from tests.kernel.conftest import Compared
from tests.kernel.frames import CLIENT, CLIENT_PORT, SERVER, SERVER_PORT, Talk
from tests.kernel.pair import add, both, pair, to, tracking
from tests.kernel.reading import events, filters_at, hits, went

TALK = Talk()
NAT = "192.0.2.1"
FORCED = (
    add(SERVER_PORT, 0, 1, "ct_state -trk", "ct pipe", "goto chain 2"),
    add(SERVER_PORT, 2, 1, "", "ct commit force pipe", to(CLIENT_PORT)),
)


def ct_states(port: str) -> tuple[str, ...]:
    """Return tracking filters that tell the states of the two directions apart."""
    out = to(SERVER_PORT if port == CLIENT_PORT else CLIENT_PORT)
    return (
        add(port, 0, 1, "ct_state -trk", "ct pipe", "goto chain 2"),
        add(port, 2, 1, "ct_state +trk+new", "ct commit pipe", out),
        add(port, 2, 2, "ct_state +trk+est+rpl", out),
        add(port, 2, 3, "ct_state +trk+est-rpl", out),
    )


def test_1_states_of_a_handshake(compared: Compared) -> None:
    """New is the SYN alone; the SYN-ACK is established, and in the reply direction."""
    steps = (*TALK.handshake(), TALK.out("PA", 1, 1, 10), TALK.back("A", 1, 11))
    commands = ct_states(CLIENT_PORT) + ct_states(SERVER_PORT)
    outcome = compared.run(pair("handshake", commands, *steps))
    there = [hits(outcome, CLIENT_PORT, 2, pref) for pref in (1, 2, 3)]
    back = [hits(outcome, SERVER_PORT, 2, pref) for pref in (1, 2, 3)]
    assert (there, back) == ([1, 0, 2], [0, 2, 0])


def test_1_established_without_rpl_matches_both_directions(compared: Compared) -> None:
    """`+trk+est` says nothing about the direction."""
    outcome = compared.run(pair("est", both(), *TALK.handshake()))
    assert [went(step) for step in outcome.steps] == [
        [SERVER_PORT],
        [CLIENT_PORT],
        [SERVER_PORT],
    ]
    assert hits(outcome, CLIENT_PORT, 2, 2) == hits(outcome, SERVER_PORT, 2, 2) == 1


def test_2_untracked_matches_until_ct_and_after_clear(compared: Compared) -> None:
    """After `ct`, also back in chain 0, -trk is false; after `ct clear` true, and no zone is."""
    commands = (
        add(CLIENT_PORT, 0, 1, "ct_state -trk", "ct zone 7 pipe", "goto chain 2"),
        add(CLIENT_PORT, 0, 2, "ct_state +trk", "ct clear pipe", "goto chain 3"),
        add(CLIENT_PORT, 2, 1, "ct_state -trk", "drop"),
        add(CLIENT_PORT, 2, 2, "ct_zone 7", "goto chain 0"),
        add(CLIENT_PORT, 3, 1, "ct_zone 7", "drop"),
        add(CLIENT_PORT, 3, 2, "ct_state -trk", to(SERVER_PORT)),
    )
    outcome = compared.run(pair("clear", commands, TALK.out("S")))
    assert went(outcome.steps[0]) == [SERVER_PORT]
    assert outcome.connections == ()


def test_2_mirred_forgets_the_state(compared: Compared) -> None:
    """A packet that a redirect puts into another port's ingress is untracked there."""
    commands = (
        add(CLIENT_PORT, 0, 1, "ct_state -trk", "ct pipe", "goto chain 2"),
        add(
            *(CLIENT_PORT, 2, 1, "ct_state +trk+new", "ct commit pipe"),
            f"mirred ingress redirect dev {SERVER_PORT}",
        ),
        add(SERVER_PORT, 0, 1, "ct_state +trk", "drop"),
        add(SERVER_PORT, 0, 2, "ct_state -trk", to(CLIENT_PORT)),
    )
    outcome = compared.run(pair("mirred", commands, TALK.out("S")))
    assert went(outcome.steps[0]) == [CLIENT_PORT]


def bad_checksum() -> Send:
    """A SYN whose TCP checksum is wrong."""
    segment = TALK.tcp("S", 1000, 0, 0, chksum=0x1234)
    return Send(CLIENT_PORT, TALK.to_server(segment))


def unknown_error() -> Send:
    """An ICMP error about a connection that nobody knows."""
    about = IP(src=SERVER, dst=CLIENT) / TCP(sport=9, dport=9)
    return Send(CLIENT_PORT, TALK.to_server(ICMP(type=3, code=1) / about))


COMMITTED_ALL_THE_SAME = pytest.mark.differs(
    "Open vSwitch takes a FIN or RST of no connection for new, and a commit makes one of it"
)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(TALK.out("R"), id="rst", marks=COMMITTED_ALL_THE_SAME),
        pytest.param(TALK.out("FA"), id="fin", marks=COMMITTED_ALL_THE_SAME),
        pytest.param(TALK.out("SA"), id="syn-ack"),
        pytest.param(TALK.out("SF"), id="syn-fin"),
        pytest.param(bad_checksum(), id="bad-checksum"),
        pytest.param(TALK.icmp_out(0), id="echo-reply"),
        pytest.param(unknown_error(), id="icmp-error"),
    ],
)
def test_3_invalid(compared: Compared, step: Send) -> None:
    """It has the action's zone and no mark; commit does nothing, and the actions go on."""
    invalid = "ct_state +trk+inv ct_zone 5 ct_mark 0"
    commit = "ct commit zone 5 mark 9 pipe"
    commands = (
        add(CLIENT_PORT, 0, 1, "ct_state -trk", "ct zone 5 pipe", "goto chain 2"),
        add(CLIENT_PORT, 2, 1, invalid, commit, to(SERVER_PORT)),
    )
    outcome = compared.run(pair("invalid", commands, step))
    assert [seen.frame for seen in outcome.steps[0].left] == [step.frame]
    assert outcome.connections == ()
    assert events(outcome.steps[0]) == []


def test_3_invalid_matches_what_only_denies(compared: Compared) -> None:
    """Neither established nor new: an invalid packet is both."""
    commands = (
        add(CLIENT_PORT, 0, 1, "ct_state -trk", "ct pipe", "goto chain 2"),
        add(CLIENT_PORT, 2, 1, "ct_state -est-new", to(SERVER_PORT)),
    )
    outcome = compared.run(pair("denied", commands, TALK.out("R"), TALK.out("S")))
    assert [went(step) for step in outcome.steps] == [[SERVER_PORT], ["stack"]]


def test_4_a_lone_segment_is_new(compared: Compared) -> None:
    """tcp_loose: from the middle of a connection, it is taken for established."""
    step = TALK.out("PA", 1, 1, 10)
    outcome = compared.run(pair("loose", tracking(CLIENT_PORT), step))
    assert hits(outcome, CLIENT_PORT, 2, 1) == 1
    (connection,) = outcome.connections
    assert (connection.state, connection.status) == ("ESTABLISHED", ("CONFIRMED",))
    assert connection.timeout_s in (299, 300)


@pytest.mark.parametrize("nat", ["", " nat"])
def test_4_a_syn_ack_of_the_end_that_opened_is_invalid(
    compared: Compared, nat: str
) -> None:
    """An answer comes from the other end, wherever the connection was picked up."""
    middle = TALK.out("PA", 1, 1, 10), TALK.out("A", 11, 1)
    commands = tracking(CLIENT_PORT, f"ct{nat}")
    outcome = compared.run(pair("syn-ack", commands, *middle, TALK.out("SA", 11, 1)))
    assert [went(step) for step in outcome.steps] == [[SERVER_PORT]] * 2 + [["stack"]]


def test_4_a_syn_ack_of_a_connection_that_closes_is_invalid(compared: Compared) -> None:
    """Of its first end; it is no longer in the flow table."""
    close = TALK.out("FA", 1, 1), TALK.back("FA", 1, 2)
    steps = (*TALK.handshake(), *close, TALK.out("SA", 2, 2))
    outcome = compared.run(pair("syn-ack-closing", both(), *steps))
    assert went(outcome.steps[-1]) == ["stack"]


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("+est", "no trk, so no other flag can be set"),
        ("+new", "no trk, so no other flag can be set"),
        ("-trk+est", "no trk, so no other flag can be set"),
        ("+trk+new+est", "new and est are mutually exclusive"),
        ("+trk+new+rpl", "new and rpl are mutually exclusive"),
        ("+trk+inv+est", "when inv is set, only trk may be set"),
    ],
)
def test_5_states_that_are_refused(compared: Compared, state: str, why: str) -> None:
    """Bits without trk, new with est or rpl, inv with anything but trk."""
    command = add(CLIENT_PORT, 0, 1, f"ct_state {state}", "drop")
    outcome = compared.run(pair("refused", (command,)))
    (ran,) = outcome.commands
    assert ran.code == 2
    assert ran.stderr.startswith(f"Error: {why}.\n")
    assert filters_at(outcome, CLIENT_PORT) == []


def test_6_the_first_mask_of_a_prio_wins(compared: Compared) -> None:
    """Not the longest."""
    commands = (
        add(CLIENT_PORT, 0, 1, "src_ip 10.0.0.0/8", to(SERVER_PORT)),
        add(CLIENT_PORT, 0, 1, f"src_ip {CLIENT}", "drop"),
    )
    outcome = compared.run(pair("masks", commands, TALK.out("S")))
    assert went(outcome.steps[0]) == [SERVER_PORT]


@pytest.mark.parametrize(
    "other",
    [
        "proto arp flower action drop",
        pytest.param(
            "proto ip matchall action drop",
            marks=pytest.mark.differs("matchall is not there yet"),
        ),
    ],
)
def test_6_a_prio_has_one_protocol_and_kind(compared: Compared, other: str) -> None:
    """What differs in either is refused."""
    where = f"tc filter add dev {CLIENT_PORT} ingress prio 1"
    first = add(CLIENT_PORT, 0, 1, "", "drop")
    outcome = compared.run(pair("prio", (first, f"{where} {other}")))
    assert [ran.code for ran in outcome.commands] == [0, 2]


def test_14_commit_without_ct(compared: Compared) -> None:
    """Commit looks the connection up itself."""
    command = add(CLIENT_PORT, 0, 1, "", "ct commit zone 3 pipe", to(SERVER_PORT))
    outcome = compared.run(pair("commit", (command,), TALK.out("S")))
    assert went(outcome.steps[0]) == [SERVER_PORT]
    assert [(c.zone, c.state) for c in outcome.connections] == [(3, "SYN_SENT")]


def test_14_commit_again_rewrites_the_mark(compared: Compared) -> None:
    """On an established connection too, and says so: first ASSURED, then the mark."""
    out = to(SERVER_PORT)
    commands = (
        add(CLIENT_PORT, 0, 1, "ct_state -trk", "ct pipe", "goto chain 2"),
        add(CLIENT_PORT, 2, 1, "ct_state +trk+new", "ct commit mark 1 pipe", out),
        add(CLIENT_PORT, 2, 2, "ct_state +trk+est", "ct commit mark 2 pipe", out),
        *tracking(SERVER_PORT),
    )
    outcome = compared.run(pair("mark", commands, *TALK.handshake()))
    marks = [[e.connection.mark for e in step.events] for step in outcome.steps]
    assert marks == [[1], [1], [1, 2]]
    assert [connection.mark for connection in outcome.connections] == [2]


def test_14_force_from_the_reply_turns_the_connection_round(compared: Compared) -> None:
    """`commit force` deletes the entry and makes it anew, the replier as its originator."""
    commands = (*tracking(CLIENT_PORT), *FORCED)
    steps = TALK.udp_out(), TALK.udp_back()
    outcome = compared.run(pair("force", commands, *steps))
    assert EventKind.DESTROY in events(outcome.steps[1])
    assert went(outcome.steps[1]) == [CLIENT_PORT]
    assert [c.original for c in outcome.connections] == [
        Tuple(SERVER, CLIENT, 80, 1000)
    ]


def test_14_force_on_a_syn_ack_leaves_nothing(compared: Compared) -> None:
    """Looked up again it is invalid: the entry is gone, the packet goes on."""
    commands = (*tracking(CLIENT_PORT), *FORCED)
    outcome = compared.run(pair("force-syn-ack", commands, *TALK.handshake()[:2]))
    assert went(outcome.steps[1]) == [CLIENT_PORT]
    assert outcome.connections == ()


def test_16_offloaded_by_the_last_ack(compared: Compared) -> None:
    """Its event does not say so yet; a listing right after it does."""
    look = Command("conntrack -L")
    syn, syn_ack, ack = TALK.handshake()
    outcome = compared.run(pair("offload", both(), syn, syn_ack, look, ack, look))
    before, after = (outcome.steps[n].ran for n in (2, 4))
    assert before and "[OFFLOAD]" not in before.stdout
    assert after and "[OFFLOAD]" in after.stdout
    (event,) = outcome.steps[3].events
    assert event.connection.status == ("SEEN_REPLY", "ASSURED", "CONFIRMED")
    (connection,) = outcome.connections
    assert "OFFLOAD" in connection.status
    assert (connection.state, connection.timeout_s) == (None, None)


@pytest.mark.differs(
    "Open vSwitch's conntrack checks what the software flow table does not"
)
def test_16_nothing_is_checked_on_the_fast_path(compared: Compared) -> None:
    """Out of the window, or with a bad checksum: established all the same, and no event."""
    far = TALK.out("PA", 1 << 30, 1, 10)
    bad = TALK.tcp("PA", 1001, 5001, 10, chksum=0x1234)
    steps = (*TALK.handshake(), far, Send(CLIENT_PORT, TALK.to_server(bad)))
    outcome = compared.run(pair("fast", both(), *steps))
    assert [went(step) for step in outcome.steps[3:]] == [[SERVER_PORT]] * 2
    assert [events(step) for step in outcome.steps[3:]] == [[], []]
    (connection,) = outcome.connections
    assert "OFFLOAD" in connection.status
    assert connection.original_counters and connection.original_counters.packets == 4


@pytest.mark.parametrize("offloaded", [True, False])
def test_17_fin_ends_the_offload(compared: Compared, offloaded: bool) -> None:
    """From then on conntrack sees the packets, with the timeouts of each state."""
    data = (TALK.out("PA", 1, 1, 10), TALK.back("A", 1, 11)) if offloaded else ()
    end = 11 if offloaded else 1
    close = (
        TALK.out("FA", end, 1),
        TALK.back("A", 1, end + 1),
        TALK.back("FA", 1, end + 1),
        TALK.out("A", end + 1, 2),
    )
    outcome = compared.run(pair("fin", both(), *TALK.handshake(), *data, *close))
    closing = [step.events[0].connection for step in outcome.steps[-4:]]
    states = ("FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT")
    assert tuple(each.state for each in closing) == states
    for each, timeout_s in zip(closing, (120, 60, 30, 120)):
        assert each.timeout_s in (timeout_s - 1, timeout_s)
    assert all("OFFLOAD" not in c.status for c in (*closing, *outcome.connections))


def test_17_rst_ends_the_offload(compared: Compared) -> None:
    """A RST that conntrack finds in order closes the connection."""
    outcome = compared.run(pair("rst", both(), *TALK.handshake(), TALK.out("R", 1)))
    (connection,) = outcome.connections
    assert connection.state == "CLOSE"
    assert connection.timeout_s in (9, 10)


@pytest.mark.differs("Open vSwitch checks all connections' windows or none's")
def test_17_a_rst_beyond_what_conntrack_saw_offloads_again(compared: Compared) -> None:
    """The data went by the fast path; to conntrack this RST is out of order."""
    data = TALK.out("PA", 1, 1, 400), TALK.back("A", 1, 401)
    steps = (*TALK.handshake(), *data, TALK.out("R", 401))
    outcome = compared.run(pair("rst-beyond", both(), *steps))
    assert went(outcome.steps[-1]) == [SERVER_PORT]
    assert ["OFFLOAD" in c.status for c in outcome.connections] == [True]


def test_24_source_nat(compared: Compared) -> None:
    """The address changes and the port stays, before and after the offload, both ways."""
    commands = (
        *tracking(CLIENT_PORT, "ct nat", f"ct commit nat src addr {NAT}"),
        *tracking(SERVER_PORT, "ct nat"),
    )
    seen = Talk(client=NAT)
    steps = (
        *(TALK.out("S"), seen.back("SA", 0, 1), TALK.out("A", 1, 1)),
        *(TALK.out("PA", 1, 1, 10), seen.back("A", 1, 11)),
    )
    outcome = compared.run(pair("snat", commands, *steps))
    got = [_ends(step.left[0].frame) for step in outcome.steps]
    there, back = (NAT, 1000, SERVER, 80), (SERVER, 80, CLIENT, 1000)
    assert got == [there, back, there, there, back]
    (connection,) = outcome.connections
    assert connection.reply == Tuple(SERVER, NAT, 80, 1000)
    assert {"SRC_NAT", "SRC_NAT_DONE", "OFFLOAD"} <= set(connection.status)


def test_24_plain_ct_does_not_translate(compared: Compared) -> None:
    """Each direction asks for itself: here the reply does not."""
    commands = (
        *tracking(CLIENT_PORT, "ct nat", f"ct commit nat src addr {NAT}"),
        *tracking(SERVER_PORT, "ct"),
    )
    steps = TALK.out("S"), Talk(client=NAT).back("SA", 0, 1)
    outcome = compared.run(pair("no-nat", commands, *steps))
    assert _ends(outcome.steps[1].left[0].frame) == (SERVER, 80, NAT, 1000)


@pytest.mark.differs("the kernel draws one of 424 ports", by_chance=True)
def test_24_a_port_that_clashes_is_changed(compared: Compared) -> None:
    """Two clients behind one address and port: the second gets a port of conntrack's choice."""
    commands = tracking(CLIENT_PORT, "ct nat", f"ct commit nat src addr {NAT}")
    other = Talk(client="10.0.0.3")
    outcome = compared.run(pair("clash", commands, TALK.out("S"), other.out("S")))
    first, second = (_ends(step.left[0].frame) for step in outcome.steps)
    assert first == (NAT, 1000, SERVER, 80)
    assert second[0] == NAT and second[1] != 1000


@pytest.mark.differs("Open vSwitch takes one of the range by a hash", by_chance=True)
def test_24_a_port_in_the_range_is_kept(compared: Compared) -> None:
    """The range is for those that are not, or that clash."""
    nat = f"ct commit nat src addr {NAT} port 1-65535"
    commands = tracking(CLIENT_PORT, "ct nat", nat)
    outcome = compared.run(pair("range", commands, TALK.out("S")))
    assert _ends(outcome.steps[0].left[0].frame) == (NAT, 1000, SERVER, 80)


def test_a_wait_is_as_long_as_it_says(compared: Compared) -> None:
    """An unreplied UDP entry has lost a second after one."""
    case = pair("wait", tracking(CLIENT_PORT), TALK.icmp_out(8), Wait(1.5))
    (connection,) = compared.run(case).connections
    assert connection.timeout_s in (28, 29)


def _ends(frame: bytes) -> tuple[str, int, str, int]:
    packet = Ether(frame)
    ports = packet[TCP]
    return packet[IP].src, ports.sport, packet[IP].dst, ports.dport
