"""The driver and the kernel's conntrack, in a namespace of the test's own and with no switch.

Every kernel with conntrack will do, so this runs where the kernel datapath cannot. What ct() itself
does there, the other tests show under `--datapath kernel`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import eventlet
import pytest
from pyroute2.netlink.nfnetlink.nfctsocket import nfct_msg

from controller.conntrack import ctnetlink, kernel
from controller.conntrack.kernel import KernelConntrack
from controller.rules import (
    AddRule,
    DeleteConnection,
    DeleteConnections,
    DeleteEntry,
    Message,
    WatchEntry,
)
from offload.conntrack import FlowTuple
from offload.flower import IPPROTO_ICMP, IPPROTO_ICMPV6
from tests.e2e.state import until
from tests.unit.connections import TCP, TCP6, UDP, UDP6, flow_tuple, tracked
from tests.unit.controller.bed import LETTER, Bed

ECHO = 8 << 8
ECHO6 = 128 << 8
PING = flow_tuple(proto=IPPROTO_ICMP, sport=7, dport=ECHO)
PING6 = flow_tuple("fd00::1", "fd00::3", IPPROTO_ICMPV6, sport=7, dport=ECHO6)
ALL = (TCP, TCP6, UDP, UDP6, PING, PING6)
ZONE = 7


class Namespace:
    """A network namespace with a conntrack, held by a process."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
        self.path = f"/proc/{self._holder.pid}/ns/net"
        own = os.stat("/proc/self/ns/net").st_ino
        until(lambda: os.stat(self.path).st_ino != own, "a namespace")

    def conntrack(self, *words: str) -> str:
        """The system's own tool, which is no part of the driver."""
        command = ["nsenter", f"--net={self.path}", "conntrack", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def make(self, original: FlowTuple, zone: int = ZONE) -> None:
        """Have the tool make a connection, as if its packets had come."""
        self.conntrack("-I", *_words(original), "-t", "300", "-w", str(zone))

    def delete(self, original: FlowTuple, zone: int = ZONE) -> None:
        """Have the tool delete one."""
        self.conntrack("-D", *_words(original), "-w", str(zone))

    def connections(self) -> list[str]:
        """All there are, one a line."""
        both = (self.conntrack("-L", "-f", family) for family in ("ipv4", "ipv6"))
        return [line for text in both for line in text.splitlines()]

    def end(self) -> None:
        """Nothing of it is left."""
        self._holder.kill()
        self._holder.wait()


def _words(original: FlowTuple) -> Sequence[str]:
    src, dst = re.findall(r"(?:src|dst)=(\S+)", str(original))
    ends = ("-s", src, "-d", dst)
    ports = ("--sport", str(original.sport), "--dport", str(original.dport))
    kind, code = (str(value) for value in divmod(original.dport, 256))
    if original.proto == IPPROTO_ICMP:
        names = ("--icmp-type", kind, "--icmp-code", code, "--icmp-id")
        return ("-p", "icmp", *ends, *names, str(original.sport))
    if original.proto == IPPROTO_ICMPV6:
        names = ("--icmpv6-type", kind, "--icmpv6-code", code, "--icmpv6-id")
        return ("-p", "icmpv6", *ends, *names, str(original.sport))
    if original.proto == TCP.proto:
        return ("-p", "tcp", *ends, *ports, "--state", "ESTABLISHED")
    return ("-p", "udp", *ends, *ports)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace()
    yield made
    made.end()


@pytest.fixture
def bed() -> Bed:
    """A hypervisor whose filters offload what is in the zone."""
    made = Bed()
    made.add(*(line.replace("action ct", f"action ct zone {ZONE}") for line in LETTER))
    return made


@pytest.fixture
def conntrack(namespace: Namespace, bed: Bed) -> KernelConntrack:
    return KernelConntrack(bed.hypervisor, lambda: None, namespace.path)


def offloaded(bed: Bed, *connections: FlowTuple) -> None:
    """Put connections into the flow table."""
    for original in connections:
        bed.hypervisor.packet(tracked(original, zone=ZONE), bed.now_s)
    assert len(bed.entries()) == len(connections)
    bed.deliver()


def left_after_events(bed: Bed, number: int) -> list[FlowTuple]:
    """The originals in the flow table, once there are so many; events are heard meanwhile."""

    def heard() -> bool:
        eventlet.sleep(0.001)
        return len(bed.entries()) <= number

    until(heard, f"{number} entries")
    return [entry.tuples[0] for entry in bed.entries()]


@pytest.mark.parametrize("original", ALL, ids=str)
def test_delete(
    namespace: Namespace, conntrack: KernelConntrack, original: FlowTuple
) -> None:
    """That connection in that zone, and no other."""
    for each in ALL:
        namespace.make(each)
    namespace.make(original, zone=8)
    assert conntrack.carry_out([DeleteConnection(ZONE, original)]) == []
    listed = namespace.connections()
    assert len(listed) == len(ALL) and sum("zone=8" in line for line in listed) == 1
    with pytest.raises(AssertionError, match="0 flow entries"):
        namespace.delete(original)


def test_what_openflow_does(conntrack: KernelConntrack, bed: Bed) -> None:
    """Everything else goes on to the switch, in its order."""
    rest: list[Message] = [AddRule(rule) for rule in bed.hypervisor.filters.rules()]
    rest += [DeleteConnections(), WatchEntry(1, ZONE, UDP, 30)]
    messages = [rest[0], DeleteConnection(ZONE, TCP), *rest[1:]]
    assert conntrack.carry_out(messages) == rest


@pytest.mark.parametrize("original", [TCP, TCP6], ids=str)
def test_a_connection_in_the_flow_table_is_liberal(
    namespace: Namespace, conntrack: KernelConntrack, bed: Bed, original: FlowTuple
) -> None:
    """In both directions, before hardware has it; its neighbour is not."""
    other = original._replace(sport=1)
    for each in (original, other):
        namespace.make(each)
        make_strict(namespace, each)
        assert window_flags(namespace, each) == (0, 0)
    bed.hypervisor.packet(tracked(original, zone=ZONE), bed.now_s)
    conntrack.carry_out(bed.hypervisor.take_outbox())
    assert window_flags(namespace, original) == (LIBERAL, LIBERAL)
    assert window_flags(namespace, other) == (0, 0)


@pytest.mark.parametrize("original", [TCP, TCP6], ids=str)
def test_whether_a_connection_goes_on(
    namespace: Namespace, conntrack: KernelConntrack, original: FlowTuple
) -> None:
    assert not conntrack.is_established(ZONE, original)
    namespace.make(original)
    assert conntrack.is_established(ZONE, original)
    assert not conntrack.is_established(8, original)
    closed = original._replace(sport=1)
    words = _words(closed)[:-1]
    namespace.conntrack("-I", *words, "CLOSE", "-t", "300", "-w", str(ZONE))
    assert not conntrack.is_established(ZONE, closed)


LIBERAL = 0x08


def make_strict(namespace: Namespace, original: FlowTuple) -> None:
    """As packets make a connection; the tool makes liberal ones."""
    request = ctnetlink.be_liberal(ZONE, original)
    value_and_mask = bytes((LIBERAL, LIBERAL, 0, 0))
    assert request.count(value_and_mask) == 2
    with kernel.inside(namespace.path):
        asking = kernel.netlink()
    asking.send(request.replace(value_and_mask, bytes((0, LIBERAL, 0, 0))))


def window_flags(namespace: Namespace, original: FlowTuple) -> tuple[int, int]:
    """A connection's IP_CT_TCP_FLAGs of both directions, as pyroute2 reads them."""
    with kernel.inside(namespace.path):
        asking = kernel.netlink()
    asking.send(ctnetlink.get(ZONE, original))
    message = nfct_msg(asking.recv(65536))
    message.decode()
    tcp = message.get_attr("CTA_PROTOINFO").get_attr("CTA_PROTOINFO_TCP")
    there, back = (tcp.get_attr(f"CTA_PROTOINFO_TCP_FLAGS_{way}") for way in WAYS)
    return there[0] & LIBERAL, back[0] & LIBERAL


WAYS = ("ORIGINAL", "REPLY")


@pytest.mark.parametrize("original", [TCP, TCP6, UDP, UDP6], ids=str)
def test_deleted_outside(
    namespace: Namespace, conntrack: KernelConntrack, bed: Bed, original: FlowTuple
) -> None:
    """The kernel tells; the entry and its rules go, those of others stay."""
    everything = [TCP, TCP6, UDP, UDP6]
    for each in everything:
        namespace.make(each)
        namespace.make(each, zone=8)
    offloaded(bed, *everything)
    namespace.delete(original, zone=8)
    namespace.delete(original)
    everything.remove(original)
    assert left_after_events(bed, 3) == everything
    told = bed.hypervisor.take_outbox()
    assert [type(message) for message in told] == [DeleteEntry, DeleteEntry]


def test_everything_deleted_outside(
    namespace: Namespace, conntrack: KernelConntrack, bed: Bed
) -> None:
    connections = [flow_tuple(sport=1000 + number) for number in range(20)]
    for each in connections:
        namespace.make(each)
    offloaded(bed, *connections)
    namespace.conntrack("-F")
    assert left_after_events(bed, 0) == []


def test_deleted_and_made_anew_before_it_was_heard(
    namespace: Namespace, conntrack: KernelConntrack, bed: Bed
) -> None:
    """The event is the old connection's; the entry is the new one's, and stays."""
    for each in (TCP, UDP):
        namespace.make(each)
    offloaded(bed, TCP, UDP)
    namespace.delete(TCP)
    namespace.make(TCP)
    namespace.delete(UDP)
    assert left_after_events(bed, 1) == [TCP]


def test_a_namespace_that_is_not_there(bed: Bed) -> None:
    before = os.stat("/proc/thread-self/ns/net").st_ino
    with pytest.raises(FileNotFoundError):
        KernelConntrack(bed.hypervisor, lambda: None, "/proc/0/ns/net")
    with pytest.raises(OSError):
        KernelConntrack(bed.hypervisor, lambda: None, str(Path(__file__)))
    assert os.stat("/proc/thread-self/ns/net").st_ino == before
