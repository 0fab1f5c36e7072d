"""conntrack at a hypervisor: -L, -C, -D, -F, and what they do to hardware entries.

Entries go also when somebody deletes connections behind the driver's back.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command_line import Said, system_says, typed, unchanged
from tests.e2e.paced_stream import PacedStream, streaming
from tests.e2e.state import connections, entries, offloaded, status, until
from tests.e2e.tcp_udp import close_at_once, connected
from tests.e2e.vm1_vm2 import tcp
from tests.e2e.wire import Port
from topologies.testbed import Testbed

HEAD = "conntrack v1.4.7 (conntrack-tools): "
HELP = "Try `conntrack -h' or 'conntrack --help' for more information.\n"


def counted(number: int, done: str) -> str:
    return f"{HEAD}{number} flow entries have been {done}.\n"


POLLS = ("7 ", "73 ", "271 ")  # poll, and ppoll here and there
STOPPED = "\nState:\tT"


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A switch that stands still meanwhile, at the end of its loop: it begins with its ports."""
    try:
        until(lambda: stops_at_its_poll(pid), "the switch stopped where it waits")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def stops_at_its_poll(pid: int) -> bool:
    """Stop a process; let it go on if that was anywhere else."""
    process = Path("/proc", str(pid))
    os.kill(pid, signal.SIGSTOP)
    until(lambda: STOPPED in (process / "status").read_text(), "it has stopped")
    if (process / "syscall").read_text().startswith(POLLS):
        return True
    os.kill(pid, signal.SIGCONT)
    return False


@pytest.fixture
def two(net: Testbed) -> Iterator[Testbed]:
    """Connections from vm1 to vm3's ports 5001 and 5002, in hardware at both."""
    with (
        connected(net["vm1"], net["vm3"], "10.0.0.3", 5001, 40001) as first,
        connected(net["vm1"], net["vm3"], "10.0.0.3", 5002, 40002) as second,
    ):
        for client, _ in (first, second):
            client.sendall(b"x")
        offloaded(net, 2)
        yield net
        close_at_once(*first, *second)  # the test may have deleted one


def test_list(two: Testbed) -> None:
    said = typed(two["hv1"], "conntrack -L")
    assert said.code == 0 and said.stderr == counted(2, "shown")
    counters = re.compile(r" \w+_(packets|bytes)=\d+")
    assert (
        "tcp      6 src=10.0.0.1 dst=10.0.0.3 sport=40001 dport=5001"
        " src=10.0.0.3 dst=10.0.0.1 sport=5001 dport=40001 [HW_OFFLOAD] mark=0 use=1"
    ) in counters.sub("", said.stdout).splitlines()


@pytest.mark.parametrize(
    ("options", "ports"),
    [
        ("", [5001, 5002]),
        ("conntrack", [5001, 5002]),
        ("-p tcp", [5001, 5002]),
        ("-p udp", []),
        ("-p tcp --dport 5002", [5002]),
        ("-p tcp --sport 40001", [5001]),
        ("-p tcp --orig-port-dst 5001", [5001]),
        ("-s 10.0.0.1", [5001, 5002]),
        ("-s 10.0.0.3", []),
        ("--orig-src 10.0.0.1 --dst 10.0.0.3 -p tcp --dport 5001", [5001]),
        ("-w 0", [5001, 5002]),
        ("-w 7", []),
    ],
)
def test_options_select(two: Testbed, options: str, ports: list[int]) -> None:
    found = connections(two["hv1"], *options.split())
    assert sorted(each.original[3] for each in found) == ports
    assert typed(two["hv1"], f"conntrack -C {options}") == Said(0, f"{len(ports)}\n")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("conntrack -L --nonsense", "unknown argument `--nonsense'"),
        ("conntrack -D -p", "option `-p' requires an argument"),
        ("conntrack -L -w many", "Bad parameter: many"),
    ],
)
def test_unknown_options(two: Testbed, line: str, why: str) -> None:
    with unchanged(two["hv1"]):
        assert typed(two["hv1"], line) == Said(2, "", f"{HEAD}{why}\n{HELP}")
    assert len(connections(two["hv1"])) == 2


@pytest.mark.datapath("user", reason="the kernel's conntrack tells of events")
def test_events_are_not_told_of(two: Testbed) -> None:
    said = typed(two["hv1"], "conntrack -E")
    why = "-E: Open vSwitch's own conntrack has -L, -D, -F and -C\n"
    assert said == Said(1, "", HEAD + why)


def test_delete_by_tuple(two: Testbed) -> None:
    """Its two entries go at once, here alone, and nobody else's."""
    hv1 = two["hv1"]
    assert len(entries(hv1, "hw_ct")) == 4
    options = "-p tcp -s 10.0.0.1 -d 10.0.0.3 --sport 40001 --dport 5001"
    said = typed(hv1, f"conntrack -D {options}")
    assert said.code == 0 and said.stderr == counted(1, "deleted")
    assert said.stdout.count("\n") == 1 and "dport=5001" in said.stdout
    left = entries(hv1, "hw_ct")
    assert len(left) == 2 and all("5002" in rule for rule in left)
    assert [each.original[3] for each in connections(hv1)] == [5002]
    assert status(two, "hv1")["entries"] == 1
    assert status(two, "hv2")["entries"] == 2


def test_delete_what_is_not_there(two: Testbed) -> None:
    with unchanged(two["hv1"]):
        said = typed(two["hv1"], "conntrack -D -p tcp --dport 1")
    assert said == Said(1, "", counted(0, "deleted"))


def test_flush(two: Testbed) -> None:
    said = typed(two["hv1"], "conntrack -F")
    assert said == Said(0, "", f"{HEAD}connection tracking table has been emptied.\n")
    assert not entries(two["hv1"], "hw_ct") and not connections(two["hv1"])
    assert typed(two["hv1"], "conntrack -C") == Said(0, "0\n")


@pytest.fixture
def stream(net: Testbed) -> Iterator[PacedStream]:
    with streaming(net["vm1"], net["vm3"], "10.0.0.3") as going:
        offloaded(net, 1)
        yield going


@pytest.mark.parametrize("line", ["conntrack -F", "conntrack -D -s 10.0.0.1"])
def test_a_deleted_connection_works_again(
    net: Testbed, stream: PacedStream, line: str
) -> None:
    """Its next packet is a new connection's, picked up on its way."""
    copies = offers(net)
    assert typed(net["hv1"], line).code == 0
    stream.goes_on()
    offloaded(net, 1)
    assert offers(net) > copies


def test_flushed_behind_our_back(net: Testbed) -> None:
    with connected(net["vm1"], net["vm3"], "10.0.0.3") as (near, far):
        near.sendall(b"before")
        assert far.recv(100) == b"before"
        offloaded(net, 1)
        without_entries = empty_tables(net["hv1"])
        assert typed(net["hv1"], "ovs-appctl dpctl/flush-conntrack").code == 0
        until(without_entries, "hardware entries of connections that are gone")
        assert typed(net["hv1"], "conntrack -C").stdout == "0\n"
        far.sendall(b"back")
        near.sendall(b"after")
        assert far.recv(100) == b"after"
        assert near.recv(100) == b"back"


def test_a_stream_flushed_behind_our_back(net: Testbed, stream: PacedStream) -> None:
    """Its hardware entries carry it until the driver sees that its connection is gone."""
    copies = offers(net)
    assert typed(net["hv1"], "ovs-appctl dpctl/flush-conntrack").code == 0
    until(lambda: offers(net) > copies, "the connection offered anew")
    stream.goes_on()
    offloaded(net, 1)


def test_one_of_two_deleted_behind_our_back(two: Testbed) -> None:
    hv1 = two["hv1"]
    tuple_ = (
        "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.3,ct_nw_proto=6,"
        "ct_tp_src=40001,ct_tp_dst=5001"
    )
    assert typed(hv1, f"ovs-appctl dpctl/flush-conntrack {tuple_}").code == 0
    until(lambda: len(entries(hv1, "hw_ct")) == 2, "one connection's entries only")
    assert [each.original[3] for each in connections(hv1)] == [5002]


def test_deleted_behind_our_back_while_others_live(two: Testbed) -> None:
    """Connections that are not offloaded must not hide that one is missing."""
    hv1 = two["hv1"]
    for _each in range(4):
        assert typed(two["vm1"], "ping -c 1 10.0.0.3").code == 0
    tuple_ = (
        "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.3,ct_nw_proto=6,"
        "ct_tp_src=40001,ct_tp_dst=5001"
    )
    assert typed(hv1, f"ovs-appctl dpctl/flush-conntrack {tuple_}").code == 0
    until(lambda: len(entries(hv1, "hw_ct")) == 2, "one connection's entries only")


@pytest.mark.datapath("kernel", reason="the system's conntrack lists the kernel's")
def test_deleted_with_the_systems_conntrack(two: Testbed) -> None:
    """The kernel tells the driver; the other connection keeps its entry."""
    hv1 = two["hv1"]
    words = "-p tcp -s 10.0.0.1 -d 10.0.0.3 --sport 40001 --dport 5001"
    said = system_says(hv1, f"conntrack -D {words}")
    assert said.code == 0 and said.stdout.count("\n") == 1
    until(lambda: len(entries(hv1, "hw_ct")) == 2, "one connection's entries only")
    assert all("5002" in rule for rule in entries(hv1, "hw_ct"))
    assert status(two, "hv2")["entries"] == 2


def offers(net: Testbed) -> int:
    """How many packets hv1's switch has copied to act_ct."""
    found: int = status(net, "hv1")["copies"].get("offer", 0)
    return found


def empty_tables(hypervisor: Any) -> Callable[[], bool]:
    """Tells when neither ct table has a connection's rule."""
    return lambda: not entries(hypervisor, "hw_ct") and not entries(
        hypervisor, "hw_ct_nat"
    )


def test_a_list_knows_of_every_packet_before_it(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """A RST before any answer has the controller delete its connection: no list is older.

    A switch that stood still has both at once to deal with; which is first is its own affair.
    """
    one = tcp(ports)
    for _ in range(20):
        one.say("S")
        assert len(connections(net["hv1"])) == 1
        assert list_behind(net, partial(ports["vm1"].send, one.segment("R"))) == ""


def list_behind(net: Testbed, send: Callable[[], object]) -> str:
    """What conntrack lists at hv1, asked for before its switch gets to what is sent."""
    request = {"op": "exec", "hypervisor": "hv1", "argv": ["conntrack", "-L"]}
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(net.run_.control_socket))
        with stopped(net["hv1"].ovs.pid):
            before = unread_bytes(net)
            send()
            until(lambda: unread_bytes(net) > before, "it is at the switch's socket")
            client.sendall(json.dumps(request).encode() + b"\n")
            status(net, "hv1")  # asked behind it: by now the controller waits
        with client.makefile("rb") as answers:
            listed: str = json.loads(answers.readline())["stdout"]
            return listed


def unread_bytes(net: Testbed) -> int:
    """What waits at hv1's packet sockets, Open vSwitch's.  Source: af_packet.c (packet_seq_show)"""
    _head, *lines = net["hv1"].must("cat", "/proc/net/packet").splitlines()
    return sum(int(line.split()[6]) for line in lines)
