"""What filters do to packets, on the real kernel and on the testbed: verbs, rewriting, keys.

Where the frame goes and what it is then is the kernel's; `compared` holds the testbed against it.
"""

from __future__ import annotations

from typing import Any

import pytest
from scapy.all import IP, UDP, Dot1Q, Ether, Raw

from tests.kernel.cases.case import Send
from tests.kernel.conftest import Compared
from tests.kernel.frames import CLIENT_MAC, CLIENT_PORT, SERVER_MAC, SERVER_PORT, Talk
from tests.kernel.pair import add, pair, to
from tests.kernel.reading import hits, went

TALK = Talk()
OUT = to(SERVER_PORT)
BACK = to(CLIENT_PORT)
MIRROR = f"mirred egress mirror dev {SERVER_PORT}"
ETHER = Ether(src=CLIENT_MAC, dst=SERVER_MAC)


def datagram(sport: int = 1000, dport: int = 2000, **more: Any) -> Send:
    ip = IP(src="10.0.0.1", dst="10.0.0.2", **more)
    return Send(
        CLIENT_PORT, bytes(ETHER / ip / UDP(sport=sport, dport=dport) / Raw(b"data"))
    )


def tagged(vlan: int, prio: int = 0) -> Send:
    inner = Ether(datagram().frame).payload
    return Send(CLIENT_PORT, bytes(ETHER / Dot1Q(vlan=vlan, prio=prio) / inner))


def client(rest: str) -> str:
    """A filter of the client's port, told from its prio on."""
    return f"tc filter add dev {CLIENT_PORT} ingress prio {rest}"


@pytest.mark.parametrize(
    ("actions", "places"),
    [
        ("action pass", ["stack"]),
        ("action drop", []),
        ("action pipe", ["stack"]),
        ("action trap", []),
        (f"action {MIRROR} trap", [SERVER_PORT]),
        pytest.param(
            f"action {MIRROR} drop action {OUT}",
            [SERVER_PORT],
            marks=pytest.mark.differs("hardware counts a filter's actions alike"),
        ),
        (f"action {MIRROR} continue", [SERVER_PORT, CLIENT_PORT]),
        ("action continue", [CLIENT_PORT]),
        ("action ct continue", [CLIENT_PORT]),
        ("action jump 2 action drop", ["stack"]),
        (f"action jump 2 action drop action {OUT}", [SERVER_PORT]),
        (f"action {MIRROR} jump 3", ["stack"]),
    ],
)
def test_verbs(compared: Compared, actions: str, places: list[str]) -> None:
    """What follows an action; `continue` finds the next prio, which sends the packet back."""
    commands = (
        client(f"1 proto ip flower dst_ip 10.0.0.2 {actions}"),
        client(f"2 proto ip flower action {BACK}"),
    )
    outcome = compared.run(pair("verbs", commands, datagram()))
    if "jump 3" not in actions:
        assert sorted(went(outcome.steps[0])) == sorted(places)


def test_continue_skips_the_rest_of_its_prio(compared: Compared) -> None:
    """Of the prio that continues nothing else is asked, whichever mask came first."""
    commands = (
        client("3 proto ip flower ip_proto udp action continue"),
        client("3 proto ip flower action drop"),
        client("4 proto ip flower ip_proto tcp action drop"),
        client("5 proto ip flower src_ip 10.0.0.1 action continue"),
        client(f"6 proto ip flower action {OUT}"),
        client("7 proto ip flower action drop"),
    )
    outcome = compared.run(pair("continue", commands, datagram()))
    assert went(outcome.steps[0]) == [SERVER_PORT]


@pytest.mark.parametrize("verb", ["goto chain 0", "reclassify"])
def test_circles(compared: Compared, verb: str) -> None:
    """Sixteen rounds more, then dropped."""
    commands = (client(f"1 proto ip flower action {MIRROR} {verb}"),)
    outcome = compared.run(pair("circles", commands, datagram()))
    assert went(outcome.steps[0]) == [SERVER_PORT] * 17


def test_reclassify_sees_the_packet_as_it_is_now(compared: Compared) -> None:
    """Tracked by then, so another filter takes it."""
    commands = (
        add(CLIENT_PORT, 0, 1, "ct_state -trk", "ct goto chain 5"),
        add(CLIENT_PORT, 0, 2, "ct_state +trk", OUT),
        add(CLIENT_PORT, 5, 1, "", "reclassify"),
    )
    outcome = compared.run(pair("reclassify", commands, datagram()))
    assert went(outcome.steps[0]) == [SERVER_PORT]


def test_mirred_into_another_ingress(compared: Compared) -> None:
    """A mirror's copy walks by itself; the packet goes on in its own chain."""
    commands = (
        client(
            f"1 proto ip flower action mirred ingress mirror dev {SERVER_PORT} goto chain 3"
        ),
        client(f"1 chain 3 proto ip flower action {BACK}"),
        f"tc filter add dev {SERVER_PORT} ingress prio 1 proto ip flower action goto chain 4",
        f"tc filter add dev {SERVER_PORT} ingress prio 1 chain 4 proto ip flower action {OUT}",
    )
    outcome = compared.run(pair("mirror-ingress", commands, datagram()))
    assert sorted(went(outcome.steps[0])) == [CLIENT_PORT, SERVER_PORT]


@pytest.mark.differs(
    "the fifth mirred drops, where Linux counts it no more and OVS does"
)
def test_mirred_into_itself(compared: Compared) -> None:
    """Four times."""
    commands = (
        client(f"1 proto ip flower action mirred ingress redirect dev {CLIENT_PORT}"),
    )
    outcome = compared.run(pair("itself", commands, datagram()))
    assert went(outcome.steps[0]) == []
    assert hits(outcome, CLIENT_PORT, 0, 1) == 4


@pytest.mark.parametrize(
    "actions",
    [
        "pedit ex munge eth dst set 02:11:22:33:44:55 munge eth src set 02:00:00:00:00:01",
        "pedit ex munge ip ttl set 9 pipe action csum ip4h",
        "pedit ex munge ip ttl add 255 pipe action csum ip4h",
        "pedit ex munge ip tos set 0xb8 pipe action csum ip4h",
        "pedit ex munge ip src set 1.2.3.4 pipe action csum ip4h and udp",
        "pedit ex munge ip dst set 1.2.3.4 munge udp dport set 53 pipe action csum ip4h and udp",
        "pedit ex munge udp sport set 7 pipe action csum udp",
        "vlan push id 5 priority 3",
        "vlan push id 5 pipe action vlan pop",
        "vlan push id 5 priority 2 pipe action vlan modify id 7",
        "vlan pop",
        "vlan modify id 7",
    ],
)
def test_rewriting(compared: Compared, actions: str) -> None:
    """Every byte of what comes out, a TTL of 1 and a tag among what goes in."""
    commands = (
        client(f"1 proto ip flower ip_proto udp action {actions} pipe action {OUT}"),
    )
    steps = datagram(), datagram(ttl=1), datagram(tos=3), tagged(9)
    outcome = compared.run(pair("rewriting", commands, *steps))
    assert [went(step) for step in outcome.steps] == [[SERVER_PORT]] * 3 + [["stack"]]


@pytest.mark.parametrize(
    "actions", ["vlan pop", "vlan modify id 7", "vlan modify id 7 priority 1"]
)
def test_rewriting_of_tags(compared: Compared, actions: str) -> None:
    """What has none does not meet the filter."""
    commands = (client(f"1 proto 802.1q flower action {actions} pipe action {OUT}"),)
    outcome = compared.run(pair("tags", commands, tagged(5, 3), datagram()))
    assert [went(step) for step in outcome.steps] == [[SERVER_PORT], ["stack"]]


@pytest.mark.parametrize(
    ("keys", "matching"),
    [
        ("ip_proto udp dst_port 1999-2001", [0, 1, 3, 4]),
        ("ip_proto udp src_port 1-1000 dst_port 2000-65535", [0, 3, 4]),
        ("ip_tos 0xb8/0xfc", [3]),
        ("ip_tos 1/0x1", [3]),
        ("ip_ttl 0x10/0xf0", [4]),
        ("ip_flags frag", [5, 6]),
        ("ip_flags nofrag", [0, 1, 2, 3, 4]),
        ("ip_flags firstfrag", [5]),
        ("ip_flags nofirstfrag", [0, 1, 2, 3, 4, 6]),
        ("ip_flags frag/nofirstfrag", [6]),
        (f"indev {CLIENT_PORT}", [0, 1, 2, 3, 4, 5, 6]),
        (f"indev {SERVER_PORT}", []),
    ],
)
def test_keys(compared: Compared, keys: str, matching: list[int]) -> None:
    """The same seven packets for each: which of them meet the filter."""
    packets = (
        *(datagram(), datagram(dport=1999), datagram(sport=1001, dport=2002)),
        *(datagram(tos=0xB9), datagram(ttl=0x1F)),
        *(datagram(flags="MF", id=1), datagram(frag=100, id=2)),
    )
    commands = (client(f"1 proto ip flower {keys} action {OUT}"),)
    outcome = compared.run(pair("keys", commands, *packets))
    met = [at for at, step in enumerate(outcome.steps) if went(step) == [SERVER_PORT]]
    assert met == matching


def test_ranges_are_tried_as_they_were_added(compared: Compared) -> None:
    """Two that overlap: the first one wins, whichever is narrower."""
    ranges = (
        "2000-2005 action drop",
        f"1000-3000 action {OUT}",
        "1500-1600 action drop",
    )
    commands = tuple(
        client(f"1 proto ip flower ip_proto udp dst_port {each}") for each in ranges
    )
    steps = datagram(), datagram(dport=2006), datagram(dport=1550)
    outcome = compared.run(pair("ranges", commands, *steps))
    assert [went(step) for step in outcome.steps] == [[], [SERVER_PORT], [SERVER_PORT]]
