"""The cover letter's three commands, as printed, and what it says happens then."""

from __future__ import annotations

import random
import re

import pytest

from tests.e2e.state import (
    HYPERVISORS,
    Count,
    Filter,
    Meter,
    connections,
    entries,
    filters,
    offloaded,
    until,
)
from tests.e2e.tcp_udp import End, TcpConversation, connected, transfer
from tests.e2e.underlay import between, tunnelled
from tests.e2e.wire import Capture, Port, parsed
from topologies.testbed import Testbed

TEN_MEGABYTES = 10_000_000

LETTER = r"""
1. tc filter add dev ens1f0_0 ingress prio 1 chain 0 proto ip flower \
    src_mac 24:8a:07:a5:28:01 ct_state -trk \
    action ct \
    pipe action goto chain 2
       
2. tc filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower \
    ct_state +trk+new \
    action ct commit \
    pipe action tunnel_key set \
        src_ip 0.0.0.0 \
        dst_ip 7.7.7.8 \
        id 98 \
        dst_port 4789 \
    action mirred egress redirect dev vxlan0
       
3. tc filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower \
    ct_state +trk+est \
    action tunnel_key set \
        src_ip 0.0.0.0 \
        dst_ip 7.7.7.8 \
        id 98 \
        dst_port 4789 \
    action mirred egress redirect dev vxlan0
       
Filter #1 (chain 0) decides, after initial packet classification, to send the packet to the
connection tracking module (ct action).
"""  # noqa: W293 (verbatim)


def commands() -> list[str]:
    """The letter's commands, over as many lines as there."""
    return re.findall(r"^\d\. (tc (?:.*\\\n)*.*)$", LETTER, re.MULTILINE)


@pytest.fixture
def letter(net: Testbed) -> Testbed:
    """The module's network with the letter's commands typed at hv1."""
    for command in commands():
        assert type_in(net, command) == ""
    return net


def type_in(net: Testbed, command: str) -> str:
    """Type a command at hv1; what it said, without the shell's prompts for more lines."""
    return re.sub(r"\A(> )+", "", net["hv1"].cmd(command))


def typed(net: Testbed) -> list[Filter]:
    """The letter's filters, in their order."""
    shown = [each for each in filters(net["hv1"], "ens1f0_0") if each.prio == 1]
    return sorted(shown, key=lambda each: (each.chain, each.handle))


def conversation(ports: dict[str, Port]) -> TcpConversation:
    """From vm1 to vm3, between addresses that no kernel answers for."""
    return TcpConversation(
        End(ports["vm1"], "10.0.0.51", 40000), End(ports["vm3"], "10.0.0.53", 80)
    )


def test_there_are_three_commands() -> None:
    """The letter was read right."""
    assert [command.count("\\\n") for command in commands()] == [3, 8, 7]


def test_commands_succeed_silently(net: Testbed) -> None:
    """Nothing printed, exit code 0; new is software's, the others are in hardware."""
    for command in commands():
        assert type_in(net, command) == ""
        assert net["hv1"].cmd("echo $?").strip() == "0"
    assert [(each.chain, each.in_hw, each.not_in_hw) for each in typed(net)] == [
        (0, True, False),
        (2, False, True),
        (2, True, False),
    ]
    shown = net["hv1"].cmd("tc filter show dev ens1f0_0 ingress prio 1")
    assert shown.count("in_hw in_hw_count 1") == 2
    assert shown.count("not_in_hw") == 1


def test_a_command_typed_twice_is_refused(letter: Testbed) -> None:
    """The same filter again: tc's message, its code, and no second filter."""
    said = type_in(letter, commands()[0])
    assert "File exists" in said and "We have an error talking to the kernel" in said
    assert len(typed(letter)) == 3


def test_a_mistyped_command_changes_nothing(net: Testbed) -> None:
    """A wrong ct_state: tc's own words, and no filter."""
    said = type_in(net, commands()[0].replace("-trk", "-track"))
    assert 'Illegal "ct_state"' in said
    assert typed(net) == []


def test_frames_on_the_underlay(letter: Testbed, ports: dict[str, Port]) -> None:
    """Each frame of a connection is the inner one of a VXLAN packet, in both directions."""
    tcp = conversation(ports)
    with (
        Capture(letter["hv1"], "ens1f0") as here,
        Capture(letter["hv2"], "ens1f0") as there,
    ):
        expected = [
            between("hv1", "hv2", tcp.say("S")),
            between("hv2", "hv1", tcp.say("SA", reply=True)),
            between("hv1", "hv2", tcp.say("A")),
        ]
        offloaded(letter, 1)
        expected += [
            between("hv1", "hv2", tcp.say("PA", data=b"in hardware")),
            between("hv2", "hv1", tcp.say("PA", reply=True, data=b"this too")),
            between("hv1", "hv2", tcp.say("FA")),
        ]
        assert tunnelled(here.frames()) == expected
        assert tunnelled(there.frames()) == expected


def test_only_the_letters_filters_take_vm1(
    letter: Testbed, ports: dict[str, Port]
) -> None:
    """A connection's packets, one by one: which filter took them, and in which half."""
    tcp = conversation(ports)
    meter = Meter(letter["hv1"], "ens1f0_0")
    tcp.shake_hands()
    offloaded(letter, 1)
    assert counts(meter) == [Count(software=2), Count(software=1), Count(software=1)]
    for _ in range(7):
        tcp.say("PA", data=b"bulk")
    assert counts(meter) == [Count(2, 7), Count(software=1), Count(1, 7)]
    assert meter.read(prio=2) == Count()


def counts(meter: Meter) -> list[Count]:
    """What the letter's three filters counted."""
    return [
        meter.read(prio=1, chain=0),
        meter.read(prio=1, chain=2, ct_state="+trk+new"),
        meter.read(prio=1, chain=2, ct_state="+trk+est"),
    ]


def test_bulk_of_a_transfer_is_in_hardware(letter: Testbed) -> None:
    """10 MB after the handshake: at least 99 % in hardware, each way, at each hypervisor."""
    data = random.Random(2).randbytes(TEN_MEGABYTES)
    with connected(letter["vm1"], letter["vm3"], "10.0.0.3") as (near, far):
        offloaded(letter, 1)
        meters = chain_0_meters(letter)
        assert transfer(near, far, data) == data
        for way, meter in meters.items():
            counted = meter.read(**CHAIN_0[way])
            assert counted.all > 100
            assert counted.hardware >= 0.99 * counted.all
        for name in HYPERVISORS:
            [connection] = connections(letter[name])
            assert connection.in_hw and connection.original[3] == 5001
    offloaded(letter, 0)
    for name in HYPERVISORS:
        assert entries(letter[name], "hw_ct") == []


VM1, VM3 = "24:8a:07:a5:28:01", "24:8a:07:a5:28:03"
CHAIN_0 = {
    ("hv1", "ens1f0_0"): {"chain": 0, "prio": 1, "src_mac": VM1},
    ("hv2", "vxlan0"): {"chain": 0, "protocol": "ip", "dst_mac": VM3},
    ("hv2", "ens1f0_0"): {"chain": 0, "protocol": "ip", "src_mac": VM3},
    ("hv1", "vxlan0"): {"chain": 0, "protocol": "ip", "dst_mac": VM1},
}
"""Who counts what vm1 sends, twice, and what comes back, twice."""


def chain_0_meters(net: Testbed) -> dict[tuple[str, str], Meter]:
    """A meter at each place a packet of the connection enters a hypervisor."""
    return {(name, device): Meter(net[name], device) for name, device in CHAIN_0}


def test_hardware_and_software_add_up_to_the_wire(letter: Testbed) -> None:
    """All packets of a connection, SYN to the last ACK, counted beside and by tc."""
    data = random.Random(3).randbytes(TEN_MEGABYTES)
    meters = chain_0_meters(letter)
    with (
        Capture(letter["vm1"], "eth0") as here,
        Capture(letter["vm3"], "eth0") as there,
    ):
        with connected(letter["vm1"], letter["vm3"], "10.0.0.3") as (near, far):
            assert transfer(near, far, data) == data
            near.close()
            assert far.recv(1) == b""
        offloaded(letter, 0)
        until(lambda: closed(letter), "both machines' sockets closed")
        wire = tcp_by_sender(here.frames())
        assert wire == tcp_by_sender(there.frames())
    assert wire[VM1] > TEN_MEGABYTES // 1450 and wire[VM3] > 0
    for way, meter in meters.items():
        counted = meter.read(**CHAIN_0[way])
        sender = VM1 if way in (("hv1", "ens1f0_0"), ("hv2", "vxlan0")) else VM3
        assert counted.all == wire[sender], way
        assert counted.hardware > counted.software >= 1


def closed(net: Testbed) -> bool:
    """No socket of either machine waits for another packet."""
    words = "-Htan state connected exclude time-wait"
    return not any(net[name].must("ss", *words.split()) for name in ("vm1", "vm3"))


def tcp_by_sender(frames: list[bytes]) -> dict[str, int]:
    """How many IPv4 TCP packets each machine sent."""
    sent = {VM1: 0, VM3: 0}
    for frame in frames:
        if frame[12:14] == b"\x08\x00" and frame[23] == 6:
            sent[parsed(frame[:14]).src] += 1
    return sent
