"""The cover letter over VXLAN, from both hypervisors' side, with the topology's own filters.

    hv1: vm1 at ens1f0_0 calls vm3, behind 7.7.7.8
    hv2: vm3 at ens1f0_0 is called by vm1, behind 7.7.7.7

A case's own address is always 7.7.7.7, so in hv2's filters the two change places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from scapy.all import VXLAN, Ether

from tests.e2e.test_cover_letter import commands
from tests.kernel.cases.case import Case, Port, Send
from tests.kernel.conformance.traffic import Conversation, End
from tests.kernel.conftest import Compared
from tests.kernel.frames import CLIENT_PORT, SERVER_PORT
from tests.kernel.underlay import ADDRESS, REMOTE, TUNNEL, UPLINK
from topologies import FILTERS

PORTS = (Port(CLIENT_PORT), Port(SERVER_PORT), UPLINK, TUNNEL)
VM1 = "24:8a:07:a5:28:01", "10.0.0.1", "fd00::1"
VM3 = "24:8a:07:a5:28:03", "10.0.0.3", "fd00::3"
Script = Callable[[Conversation], Iterator[Send]]
# Who calls, and who is called.
SIDES = {
    "hv1": (End(CLIENT_PORT, *VM1), End(TUNNEL.name, *VM3, REMOTE)),
    "hv2": (End(TUNNEL.name, *VM1, REMOTE), End(CLIENT_PORT, *VM3)),
}


def filters(name: str) -> Iterator[str]:
    """The topology's, as commands; at hv1 the letter's come after them."""
    text = (FILTERS / f"two_hypervisors.{name}.tc").read_text("utf-8")
    if name == "hv2":
        places = {ADDRESS: REMOTE.address, REMOTE.address: ADDRESS}
        text = re.sub("|".join(places), lambda found: places[found[0]], text)
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("filter "):
            yield " ".join(("tc", *line.split()))
    if name == "hv1":
        for command in commands():
            yield " ".join(command.replace("\\\n", " ").split())


def tcp(talk: Conversation) -> Iterator[Send]:
    """From the first packet to the last: the data in between is the flow table's."""
    yield from (talk.tcp(True, "S"), talk.tcp(False, "SA"), talk.tcp(True, "A"))
    for _ in range(3):
        yield from (talk.tcp(True, "PA", 100), talk.tcp(False, "PA", 1000))
    yield from (talk.tcp(True, "FA"), talk.tcp(False, "FA"), talk.tcp(True, "A"))


def udp(talk: Conversation) -> Iterator[Send]:
    """Both ways."""
    for _ in range(3):
        yield from (talk.udp(True), talk.udp(False))


def icmp(talk: Conversation) -> Iterator[Send]:
    """Echo both ways."""
    for _ in range(3):
        yield from (talk.echo(True), talk.echo(False))


def icmp_error(talk: Conversation) -> Iterator[Send]:
    """A datagram, and the other end's answer that nobody is there."""
    yield from (talk.udp(True), talk.unreachable())


@pytest.mark.parametrize("said", [tcp, udp, icmp, icmp_error])
@pytest.mark.parametrize("name", SIDES)
def test_over_ipv4(compared: Compared, name: str, said: Script) -> None:
    """Every frame of the caller reaches the other end, and every answer the caller."""
    everything_arrives(compared, name, said, v6=False)


@pytest.mark.parametrize("said", [tcp, udp, icmp])
@pytest.mark.parametrize("name", SIDES)
def test_over_ipv6(compared: Compared, name: str, said: Script) -> None:
    """The topology's filters alone: the letter's are of IPv4."""
    everything_arrives(compared, name, said, v6=True)


def everything_arrives(compared: Compared, name: str, said: Script, v6: bool) -> None:
    client, server = SIDES[name]
    talk = Conversation(client, server, sport=1000, dport=80, v6=v6)
    steps = tuple(said(talk))
    case = Case(f"{name} {said.__name__}", PORTS, tuple(filters(name)), steps)
    outcome = compared.run(case)
    assert [ran.code for ran in outcome.commands] == [0] * len(case.commands)
    for step, seen in zip(steps, outcome.steps):
        (left,) = seen.left
        if step.port == UPLINK.name:
            assert (left.port, left.frame) == (CLIENT_PORT, inner(step.frame))
        else:
            assert (left.port, inner(left.frame)) == (UPLINK.name, step.frame)


def inner(frame: bytes) -> bytes:
    """What is in a tunnel's frame."""
    return bytes(Ether(frame)[VXLAN].payload)
