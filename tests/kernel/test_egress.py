"""Filters of what leaves by a port: clsact's egress hook, on the real kernel and on the testbed.

Where the frame goes and what it is then is the kernel's; `compared` holds the testbed against it.
"""

from __future__ import annotations

import pytest
from scapy.all import IP, Ether

from tests.kernel.cases.case import Case, Command, Port, Step
from tests.kernel.conftest import Compared
from tests.kernel.frames import CLIENT, CLIENT_PORT, SERVER_PORT, Talk
from tests.kernel.pair import PORTS, add, both, to
from tests.kernel.reading import hits, offloaded, went
from tests.kernel.underlay import REMOTE, TUNNEL, UPLINK

TALK = Talk()
THIRD_PORT = "ens1f0_2"
OUT = to(SERVER_PORT)
MIRROR = f"mirred egress mirror dev {SERVER_PORT}"
FORWARD = (add(CLIENT_PORT, 0, 1, "", OUT),)


def at_egress(port: str, chain: int, pref: int, match: str, *actions: str) -> str:
    """The command that adds a filter for what leaves by a port."""
    return add(port, chain, pref, match, *actions).replace(" ingress ", " egress ", 1)


def case(name: str, commands: tuple[str, ...], *steps: Step) -> Case:
    return Case(name, (*PORTS, Port(THIRD_PORT)), commands, steps)


@pytest.mark.parametrize(
    ("actions", "places"),
    [
        (("pass",), [SERVER_PORT]),
        (("pipe",), [SERVER_PORT]),
        (("drop",), []),
        (("trap",), []),
        (("continue",), [THIRD_PORT]),
        (("reclassify",), []),
        (("goto chain 3",), [SERVER_PORT]),
        (("goto chain 4",), [THIRD_PORT]),
        ((f"mirred egress mirror dev {THIRD_PORT}",), [THIRD_PORT, SERVER_PORT]),
        ((f"mirred egress mirror dev {THIRD_PORT} drop",), [THIRD_PORT]),
        ((f"mirred egress mirror dev {THIRD_PORT} continue",), [THIRD_PORT] * 2),
        ((to(THIRD_PORT),), [THIRD_PORT]),
        ((to(CLIENT_PORT),), [CLIENT_PORT]),
        ((to(SERVER_PORT),), []),
        ((f"mirred ingress redirect dev {THIRD_PORT}",), ["stack"]),
        ((f"mirred ingress mirror dev {THIRD_PORT}",), [SERVER_PORT, "stack"]),
        (("vlan push id 5",), [SERVER_PORT]),
        (("pedit ex munge eth dst set 24:8a:07:a5:28:09",), [SERVER_PORT]),
    ],
)
def test_verbs(compared: Compared, actions: tuple[str, ...], places: list[str]) -> None:
    """What no filter decides leaves, as does what is passed."""
    commands = (
        at_egress(SERVER_PORT, 0, 1, "", *actions),
        at_egress(SERVER_PORT, 0, 2, "", to(THIRD_PORT)),
        at_egress(SERVER_PORT, 4, 1, "", to(THIRD_PORT)),
        *FORWARD,
    )
    outcome = compared.run(case("verbs", commands, TALK.udp_out()))
    assert went(outcome.steps[0]) == places
    assert hits(outcome, SERVER_PORT, 0, 1, "egress")


def test_classified_again(compared: Compared) -> None:
    """By the filters of egress, not of where it came in."""
    changes = "pedit ex munge ip ttl set 9 pipe"
    commands = (
        at_egress(SERVER_PORT, 0, 1, "", "goto chain 2"),
        at_egress(SERVER_PORT, 2, 1, "ip_ttl 64", changes, "csum ip4h reclassify"),
        at_egress(SERVER_PORT, 2, 2, "ip_ttl 9", to(THIRD_PORT)),
        *FORWARD,
    )
    outcome = compared.run(case("again", commands, TALK.udp_out()))
    assert went(outcome.steps[0]) == [THIRD_PORT]
    assert hits(outcome, CLIENT_PORT, 0, 1) == 1


def test_round_and_round(compared: Compared) -> None:
    """As many gotos as at ingress; each is counted."""
    commands = (
        at_egress(SERVER_PORT, 0, 1, "", "goto chain 1"),
        at_egress(SERVER_PORT, 1, 1, "", "goto chain 0"),
        *FORWARD,
    )
    outcome = compared.run(case("round", commands, TALK.udp_out()))
    assert went(outcome.steps[0]) == []
    assert hits(outcome, SERVER_PORT, 0, 1, "egress") > 1


@pytest.mark.parametrize("ttl", [64, 3])
def test_behind_a_filter_that_continues(compared: Compared, ttl: int) -> None:
    """Whether it took the packet or not."""
    commands = (
        at_egress(SERVER_PORT, 0, 1, f"ip_ttl {ttl}", "continue"),
        at_egress(SERVER_PORT, 0, 2, "", to(THIRD_PORT)),
        *FORWARD,
    )
    outcome = compared.run(case("continue", commands, TALK.udp_out()))
    assert went(outcome.steps[0]) == [THIRD_PORT]


@pytest.mark.parametrize("mirred", [OUT, MIRROR, f"{MIRROR} pipe", f"{MIRROR} drop"])
def test_a_mirrored_packet_is_changed_alone(compared: Compared, mirred: str) -> None:
    """What a filter does to the copy that leaves, the packet does not see."""
    rewrites = "pedit ex munge ip ttl set 9 pipe"
    commands = (
        at_egress(SERVER_PORT, 0, 1, "", rewrites, "csum ip4h"),
        add(CLIENT_PORT, 0, 1, "", mirred, to(THIRD_PORT)),
    )
    outcome = compared.run(case("copy", commands, TALK.udp_out()))
    ttls = {seen.port: Ether(seen.frame)[IP].ttl for seen in outcome.steps[0].left}
    assert ttls[SERVER_PORT] == 9 and ttls.get(THIRD_PORT, 64) == 64


@pytest.mark.parametrize("state", ["-trk", "+trk", "+trk+est"])
def test_what_conntrack_said_before_is_forgotten(
    compared: Compared, state: str
) -> None:
    commands = (*both(), at_egress(SERVER_PORT, 0, 1, f"ct_state {state}", "drop"))
    outcome = compared.run(case("state", commands, *TALK.handshake()))
    assert (went(outcome.steps[0]) == []) is (state == "-trk")


def test_ct_at_egress(compared: Compared) -> None:
    """Tracked where they leave, both ways; then they are in the flow table."""
    forward = add(CLIENT_PORT, 0, 1, "", OUT), add(
        SERVER_PORT, 0, 1, "", to(CLIENT_PORT)
    )
    track = tuple(
        command
        for port in (CLIENT_PORT, SERVER_PORT)
        for command in (
            at_egress(port, 0, 1, "ct_state -trk", "ct zone 3 pipe", "goto chain 2"),
            at_egress(port, 2, 1, "ct_state +trk+new", "ct commit zone 3 mark 5"),
            at_egress(port, 2, 2, "ct_state +trk+est", "pass"),
        )
    )
    steps = (*TALK.handshake(), TALK.out("PA", 1, 1, 10), TALK.back("A", 1, 11))
    outcome = compared.run(case("ct", (*forward, *track), *steps))
    assert [went(step) for step in outcome.steps] == [
        [SERVER_PORT],
        [CLIENT_PORT],
        [SERVER_PORT],
        [SERVER_PORT],
        [CLIENT_PORT],
    ]
    assert offloaded(outcome.steps[-1]) == [True]
    assert outcome.connections[0].mark == 5


def test_nat_at_egress(compared: Compared) -> None:
    nat = "nat src addr 192.0.2.1"
    commands = (
        *FORWARD,
        at_egress(SERVER_PORT, 0, 1, "ct_state -trk", "ct nat pipe", "goto chain 2"),
        at_egress(
            SERVER_PORT, 2, 1, "ct_state +trk+new", f"ct commit {nat} pipe", "pass"
        ),
        add(SERVER_PORT, 0, 1, "", "ct nat pipe", to(CLIENT_PORT)),
    )
    outcome = compared.run(case("nat", commands, *TALK.handshake()))
    (there,) = outcome.steps[0].left
    (back,) = outcome.steps[1].left
    assert Ether(there.frame)[IP].src == "192.0.2.1"
    assert Ether(back.frame)[IP].dst == CLIENT


def less_one(at: int) -> tuple[str, str]:
    """Mark a packet as one that was sent once more."""
    return f"pedit ex munge ip ttl set {63 - at} pipe", "csum ip4h pipe"


@pytest.mark.parametrize("times", [1, 2, 3, 4, 5])
def test_so_many_redirects(compared: Compared, times: int) -> None:
    """Each device's egress sends to the next one's; the last one lets it out."""
    ring = (SERVER_PORT, THIRD_PORT, CLIENT_PORT)
    sends = tuple(
        at_egress(
            *(ring[at % 3], 0, 1 + at, f"ip_ttl {64 - at}"),
            *(*less_one(at), to(ring[(at + 1) % 3])),
        )
        for at in range(times)
    )
    commands = (*FORWARD, *sends, at_egress(ring[0], 0, 9, "ip_ttl 3", "drop"))
    outcome = compared.run(case("ring", commands, TALK.udp_out()))
    assert len(went(outcome.steps[0])) == (times < 4)


@pytest.mark.parametrize("times", [1, 3, 4])
def test_then_out_of_a_port_without_filters(compared: Compared, times: int) -> None:
    """The same port again and again, and then another."""
    sends = tuple(
        at_egress(SERVER_PORT, 0, 1 + at, f"ip_ttl {64 - at}", *less_one(at), OUT)
        for at in range(times - 1)
    )
    last = at_egress(SERVER_PORT, 0, 9, f"ip_ttl {65 - times}", to(THIRD_PORT))
    outcome = compared.run(case("out", (*FORWARD, *sends, last), TALK.udp_out()))
    assert len(went(outcome.steps[0])) == (times < 4)


@pytest.mark.parametrize("indev", [CLIENT_PORT, SERVER_PORT, THIRD_PORT])
def test_indev_is_where_it_was_sent_from(compared: Compared, indev: str) -> None:
    """By a filter of that device, at ingress or egress."""
    commands = (
        *FORWARD,
        at_egress(SERVER_PORT, 0, 1, f"indev {indev}", "pass"),
        at_egress(SERVER_PORT, 0, 2, "", to(THIRD_PORT)),
        at_egress(THIRD_PORT, 0, 1, f"indev {indev}", "drop"),
    )
    outcome = compared.run(case("indev", commands, TALK.udp_out()))
    assert (
        went(outcome.steps[0])
        == {
            CLIENT_PORT: [SERVER_PORT],
            SERVER_PORT: [],
            THIRD_PORT: [THIRD_PORT],
        }[indev]
    )


def test_filters_that_come_and_go(compared: Compared) -> None:
    """The first one, and the last."""
    dropping = at_egress(SERVER_PORT, 0, 1, "", "drop")
    steps = (
        TALK.udp_out(),
        Command(dropping),
        TALK.udp_out(),
        Command(f"tc filter del dev {SERVER_PORT} egress"),
        TALK.udp_out(),
        Command(f"tc filter show dev {SERVER_PORT} egress"),
    )
    outcome = compared.run(case("come and go", FORWARD, *steps))
    sent = [went(outcome.steps[at]) for at in (0, 2, 4)]
    assert sent == [[SERVER_PORT], [], [SERVER_PORT]]


FIFTH = pytest.mark.differs("at ingress no rule counts what goes straight out")
PUSHED = pytest.mark.differs("Open vSwitch counts a packet as it came in")


@pytest.mark.parametrize("times", [3, pytest.param(4, marks=FIFTH)])
def test_in_so_often_and_then_out(compared: Compared, times: int) -> None:
    """Of ingress and egress alike."""
    ring = (CLIENT_PORT, SERVER_PORT, THIRD_PORT)
    sends = tuple(
        add(
            *(ring[at % 3], 0, 1 + at, f"ip_ttl {64 - at}"),
            *(*less_one(at), f"mirred ingress redirect dev {ring[(at + 1) % 3]}"),
        )
        for at in range(times)
    )
    out = add(ring[times % 3], 0, 9, f"ip_ttl {64 - times}", to(CLIENT_PORT))
    outcome = compared.run(case("in", (*sends, out), TALK.udp_out()))
    assert len(went(outcome.steps[0])) == (times < 4)


@pytest.mark.parametrize("vlan", [pytest.param(5, marks=PUSHED), None])
def test_bytes_of_what_is_tagged(compared: Compared, vlan: int | None) -> None:
    """The tag is beside the packet there."""
    tag = (f"vlan push id {vlan} pipe",) if vlan else ()
    protocol = "802.1q" if vlan else "ip"
    counts = at_egress(SERVER_PORT, 0, 1, "", "pass")
    commands = (
        add(CLIENT_PORT, 0, 1, "", *tag, OUT),
        counts.replace(" proto ip ", f" proto {protocol} "),
    )
    outcome = compared.run(case("bytes", commands, TALK.udp_out()))
    assert hits(outcome, SERVER_PORT, 0, 1, "egress") == 1


TUNNELLED = (*PORTS, UPLINK, TUNNEL)


@pytest.mark.parametrize(
    ("asked", "passes"),
    [
        ("enc_dst_ip 7.7.7.8", True),
        ("enc_key_id 98", True),
        ("enc_key_id 99", False),
        ("enc_dst_port 4789", True),
    ],
)
def test_what_leaves_by_a_tunnel(compared: Compared, asked: str, passes: bool) -> None:
    """Filters there see the packet without its outer header, and the key that was set."""
    commands = (
        add(CLIENT_PORT, 0, 1, "", f"{REMOTE.key} pipe", to(TUNNEL.name)),
        at_egress(TUNNEL.name, 0, 1, f"src_ip {CLIENT} {asked}", "pass"),
        at_egress(TUNNEL.name, 0, 2, "", "drop"),
    )
    outcome = compared.run(Case("tunnel", TUNNELLED, commands, (TALK.udp_out(),)))
    assert went(outcome.steps[0]) == [UPLINK.name] * passes


@pytest.mark.parametrize("more", ["", " ttl 9", " tos 0x10", " nocsum"])
def test_another_key_at_a_tunnel(compared: Compared, more: str) -> None:
    """Set where it leaves: the last one counts."""
    commands = (
        add(CLIENT_PORT, 0, 1, "", f"{REMOTE.key} pipe", to(TUNNEL.name)),
        at_egress(TUNNEL.name, 0, 1, "", REMOTE.key.replace("id 98", "id 5") + more),
    )
    outcome = compared.run(Case("key", TUNNELLED, commands, (TALK.udp_out(),)))
    assert went(outcome.steps[0]) == [UPLINK.name]
