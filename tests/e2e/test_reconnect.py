"""A switch that goes and comes back: rules and live entries return, streams go on."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import termios
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.command_line import (
    filter_add,
    filter_text,
    flush,
    rule_lines,
    rules,
    typed,
)
from tests.e2e.paced_stream import PacedStream, streaming
from tests.e2e.state import (
    DEADLINE_S,
    connections,
    entries,
    offloaded,
    status,
    until,
)
from tests.e2e.tcp_udp import connected
from tests.e2e.wire import inside
from topologies.testbed import Testbed


@pytest.fixture
def stream(net: Testbed) -> Iterator[PacedStream]:
    with streaming(net["vm1"], net["vm3"], "10.0.0.3") as going:
        offloaded(net, 1)
        yield going


class Cut:
    """hv1's OpenFlow connection, which is not there until ``mend``; the rules stay."""

    def __init__(self, net: Testbed) -> None:
        self._net = net
        self._hv1 = net["hv1"]
        self._connect_to("nowhere.sock")
        until(lambda: not self._connected(), "hv1's switch being gone")

    def mend(self) -> None:
        """Connect again, and wait until the driver has told the switch everything."""
        self._connect_to("openflow.sock")
        until(self._connected, "hv1's switch being back")
        until(lambda: len(epochs(self._hv1)) == 1, "rules of one connection only")

    def _connect_to(self, name: str) -> None:
        target = f"unix:{self._hv1.ovs.directory / name}"
        self._hv1.must("ovs-vsctl", "set-controller", "br-int", target)

    def _connected(self) -> bool:
        return bool(status(self._net, "hv1")["connected"])


def cut_and_mend(net: Testbed) -> None:
    Cut(net).mend()


def forget(net: Testbed) -> None:
    """A bridge that is left without a controller drops all its rules."""
    hv1 = net["hv1"]
    hv1.must("ovs-vsctl", "del-controller", "br-int")
    until(lambda: not epochs(hv1), "no rules")
    target = f"unix:{hv1.ovs.directory}/openflow.sock"
    hv1.must("ovs-vsctl", "set-controller", "br-int", target)
    until(lambda: status(net, "hv1")["connected"], "hv1's switch being back")


def restart(net: Testbed) -> None:
    net["hv1"].restart_switch()


def crash(net: Testbed) -> None:
    """ovs-vswitchd has no time to remove its sockets."""
    hv1 = net["hv1"]
    pid = hv1.ovs.pid
    os.kill(pid, signal.SIGKILL)
    hv1.restart_switch()
    assert hv1.ovs.pid != pid


Breaks = Callable[[Testbed], None]


@pytest.mark.parametrize("breaks", [cut_and_mend, forget, restart])
def test_a_stream_goes_on(net: Testbed, stream: PacedStream, breaks: Breaks) -> None:
    hv1 = net["hv1"]
    before, shown = rules(hv1), filter_text(hv1)
    for _again in range(2):
        breaks(net)
        # A restarted switch has forgotten its connections: this one is picked up anew.
        until(lambda: rules(hv1) == before, "the same rules as before")
        assert filter_text(hv1) == shown
        stream.goes_on()
    offloaded(net, 1)
    assert len(epochs(hv1)) == 1
    assert status(net, "hv1")["failures"] == {}
    stream.finish()
    until(lambda: not entries(hv1, "hw_ct"), "no entry after FIN")


@pytest.mark.parametrize("breaks", [cut_and_mend, restart])
def test_ready_means_ready(net: Testbed, breaks: Breaks) -> None:
    """On return the pipeline is in: the next packet finds its way."""
    before = rules(net["hv1"])
    breaks(net)
    assert rules(net["hv1"]) == before
    assert typed(net["vm1"], "ping -c 1 -W 5 10.0.0.3").code == 0
    typed(net["hv1"], "tc -s filter show dev ens1f0_0 ingress")


def test_counters_survive_a_cut(net: Testbed) -> None:
    hv1 = net["hv1"]
    typed(net["vm1"], "ping -c 3 -i 0.01 10.0.0.3")
    line = "tc -s -j filter show dev ens1f0_0 ingress chain 0"
    counted = typed(hv1, line).stdout
    packets = [word for word in counted.split(",") if "packets" in word]
    Cut(net).mend()
    again = typed(hv1, line).stdout
    assert [word for word in again.split(",") if "packets" in word] == packets


def test_the_stream_goes_on_without_the_driver(
    net: Testbed, stream: PacedStream
) -> None:
    """Secure fail mode: the switch keeps its rules while nobody is there."""
    before = rules(net["hv1"])
    cut = Cut(net)
    stream.goes_on()
    assert rules(net["hv1"]) == before
    cut.mend()
    stream.goes_on()


def test_a_connection_deleted_meanwhile_stays_dead(net: Testbed) -> None:
    hv1 = net["hv1"]
    with connected(net["vm1"], net["vm3"], "10.0.0.3") as (near, _):
        near.sendall(b"x")
        offloaded(net, 1)
        cut = Cut(net)
        assert typed(hv1, "ovs-appctl dpctl/flush-conntrack").code == 0
        cut.mend()
        until(lambda: not entries(hv1, "hw_ct"), "no entry of a dead connection")
        assert status(net, "hv1")["entries"] == 0


def test_a_connection_closed_meanwhile_stays_closed(net: Testbed) -> None:
    hv1 = net["hv1"]
    with connected(net["vm1"], net["vm3"], "10.0.0.3") as (near, far):
        near.sendall(b"x")
        offloaded(net, 1)
        cut = Cut(net)
        near.close()
        far.recv(100)
        far.close()
        until(closing(hv1), "conntrack seeing it closed")
    cut.mend()
    until(lambda: not entries(hv1, "hw_ct"), "no entry of a closed connection")


def test_an_idle_connection_survives_a_restart(net: Testbed) -> None:
    """The switch has lost its conntrack; the driver makes anew what was offloaded."""
    hv1 = net["hv1"]
    with connected(net["vm1"], net["vm3"], "10.0.0.3") as (near, far):
        near.sendall(b"x")
        assert far.recv(100) == b"x"
        offloaded(net, 1)
        until(lambda: not unacknowledged(near), "nothing on its way")
        [before] = connections(hv1)
        restart(net)
        [after] = connections(hv1)
        assert (after.original, after.reply) == (before.original, before.reply)
        assert after.in_hw
        [listed] = typed(
            hv1, "ovs-appctl dpctl/dump-conntrack -m -s"
        ).stdout.splitlines()
        assert listed.count("=ESTABLISHED") == 2 and "timeout=43" in listed, listed
        assert len(entries(hv1, "hw_ct")) == 2
        far.sendall(b"y")
        near.sendall(b"z")
        assert (near.recv(100), far.recv(100)) == (b"y", b"z")
    until(lambda: not entries(hv1, "hw_ct"), "no entry after FIN")


def test_an_entry_that_aged_meanwhile(fresh_net: Callable[..., Testbed]) -> None:
    """Nobody was there to be told that it has timed out."""
    net = fresh_net(udp_timeout_s=1)
    hv1 = net["hv1"]
    with inside(net["vm3"]), socket.socket(type=socket.SOCK_DGRAM) as far:
        far.bind(("", 6000))
        with inside(net["vm1"]), socket.socket(type=socket.SOCK_DGRAM) as near:
            near.settimeout(DEADLINE_S)
            near.connect(("10.0.0.3", 6000))
            for _each in range(3):
                near.send(b"there")
                _, address = far.recvfrom(100)
                far.sendto(b"back", address)
                assert near.recv(100) == b"back"
            offloaded(net, 1)
    cut = Cut(net)
    until(lambda: not entries(hv1, "ct_age"), "the timeout")
    cut.mend()
    until(lambda: not status(net, "hv1")["entries"], "the driver without the entry")
    assert not entries(hv1, "hw_ct")


@pytest.mark.parametrize(
    "line",
    [
        "tc filter add dev ens1f0_0 ingress chain 700 prio 1 proto ip flower action drop",
        "tc filter del dev ens1f0_0 ingress chain 700",
        "tc -s filter show dev ens1f0_0 ingress",
        "conntrack -F",
    ],
)
def test_commands_meanwhile(net: Testbed, line: str) -> None:
    """Whoever types them is told; what the switch has afterwards is what tc shows."""
    hv1 = net["hv1"]
    before, shown = rules(hv1), filter_text(hv1)
    cut = Cut(net)
    said = typed(hv1, line)
    assert said.code == 0 or "not connected" in said.stderr
    cut.mend()
    if filter_text(hv1) == shown:
        assert rules(hv1) == before
    else:
        assert len(rules(hv1) - before) == 3, "a rule in each half, and the chain's"
        flush(hv1)
    assert rules(hv1) == before


def test_a_filter_deleted_meanwhile(net: Testbed) -> None:
    """Its rules are still in the switch when that comes back, and must go."""
    hv1 = net["hv1"]
    before = rules(hv1)
    assert typed(hv1, filter_add("action drop")).code == 0
    cut = Cut(net)
    typed(hv1, "tc filter del dev ens1f0_0 ingress chain 700")
    cut.mend()
    if "chain 700" not in filter_text(hv1):
        assert rules(hv1) == before
    flush(hv1)
    assert rules(hv1) == before


def test_a_crashed_switch(fresh_net: Callable[[], Testbed]) -> None:
    """The sockets it has left lead nowhere, and must not be taken for the new one's."""
    net = fresh_net()
    hv1 = net["hv1"]
    with streaming(net["vm1"], net["vm3"], "10.0.0.3") as stream:
        offloaded(net, 1)
        # Sockets come and go before, which mixes up their order in the directory.
        for breaks in (restart, restart, crash, crash):
            breaks(net)
            stream.goes_on()
            offloaded(net, 1)
            assert connections(hv1, "-p", "tcp")
    until(lambda: not entries(hv1, "hw_ct"), "no entry after FIN")
    assert typed(hv1, "tc -s filter show dev ens1f0_0 ingress").code == 0


def epochs(hypervisor: Any) -> set[str]:
    """The numbers of the connections by which the switch's rules came."""
    words = [line.split(",")[0] for line in rule_lines(hypervisor) if "cookie=" in line]
    cookies = [int(word.removeprefix("cookie=").strip(), 16) for word in words]
    return {f"{of_cookie >> 56:02x}" for of_cookie in cookies}


def unacknowledged(end: socket.socket) -> int:
    """How many bytes an end has sent that the other has not acknowledged."""
    answer = fcntl.ioctl(end, termios.TIOCOUTQ, struct.pack("i", 0))
    number: int = struct.unpack("i", answer)[0]
    return number


def closing(hypervisor: Any) -> Callable[[], bool]:
    """Tells when OVS's conntrack has seen FIN from both sides."""
    dump = "ovs-appctl dpctl/dump-conntrack"
    return lambda: "TIME_WAIT" in typed(hypervisor, dump).stdout
