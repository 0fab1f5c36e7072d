"""Random programs: the same ones each time, and sensible ones."""

from __future__ import annotations

from scapy.all import TCP, Ether

from tests.kernel.cases.case import Send
from tests.kernel.conformance.packet import parse
from tests.kernel.conformance.program import program

MANY = range(100)


def test_a_seed_is_a_program() -> None:
    """Always the same, and not another's."""
    assert program(7) == program(7)
    assert len({str(program(seed)) for seed in MANY}) == len(MANY)


def test_programs_are_of_many_kinds() -> None:
    """Of a hundred, some have each of what a program may have."""
    commands = " ".join(c for seed in MANY for c in program(seed).commands)
    for word in ("nat src", "nat dst", "zone 7", "mark", "label", "mirror", "ipv6"):
        assert word in commands
    steps = [step for seed in MANY for step in program(seed).steps]
    packets = [parse(step.frame) for step in steps if isinstance(step, Send)]
    assert {6, 17, 1} <= {packet.protocol for packet in packets if packet}
    assert any(packet is None for packet in packets)
    assert any(packet.fragment for packet in packets if packet)


def test_a_packet_is_read_as_scapy_wrote_it() -> None:
    """Addresses, ports and flags."""
    step = next(
        step
        for seed in MANY
        for step in program(seed).steps
        if isinstance(step, Send) and TCP in Ether(step.frame)
    )
    frame, packet = Ether(step.frame), parse(step.frame)
    assert packet is not None
    ends = frame[TCP].sport, frame[TCP].dport, int(frame[TCP].flags)
    assert (packet.sport, packet.dport, packet.flags) == ends
    assert packet.src == frame[TCP].underlayer.src
