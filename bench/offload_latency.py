"""From a connection's first eligible packet to its first one in hardware.

A UDP socket in vm1 sends one packet to vm3, whose answer makes the connection
established and so eligible, and then one every ``INTERVAL_S``.  Of these hv1's
counters say how many software took: the one after them was the first in hardware.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

INTERVAL_S = 0.0002
PACKETS = 500
PORT = 7007

# Runs in vm1 and vm3; clocks are the machine's, so they can be compared.
_ANSWER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.0.0.3", {port}))
_, sender = s.recvfrom(64)
s.sendto(b"eligible", sender)
s.settimeout(5)
while s.recv(64) != b"end":
    pass
"""
_SEND = """
import json, socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.0.0.1", {source}))
s.connect(("10.0.0.3", {port}))
s.settimeout(5)
began = time.monotonic()
s.send(b"first")
s.recv(64)
eligible = time.monotonic()
sent = []
for number in range({packets}):
    while time.monotonic() < eligible + number * {interval}:
        pass
    sent.append(time.monotonic() - eligible)
    s.send(b"data")
s.send(b"end")
print(json.dumps([eligible - began, sent]))
"""


@dataclass(frozen=True, slots=True)
class Offload:
    """One connection's way into hardware, and its first round trip in software."""

    latency_s: float
    round_trip_s: float


def measure(net: Any, source: int) -> Offload:
    """Send one connection from UDP port ``source``; ``net`` has the ready filters."""
    before = _software_packets(net)
    fill = {"port": PORT, "source": source, "packets": PACKETS, "interval": INTERVAL_S}
    answering = net["vm3"].popen([sys.executable, "-c", _ANSWER.format(**fill)])
    net["vm3"].must("sh", "-c", _wait_for_port(PORT))
    sending = net["vm1"].popen([sys.executable, "-c", _SEND.format(**fill)])
    output, complaint = sending.communicate(timeout=60)
    if sending.returncode:
        raise RuntimeError(complaint.decode())
    answering.wait(timeout=60)
    round_trip_s, sent_s = json.loads(output)
    in_software = _software_packets(net) - before - 1  # the first one is not eligible
    if not 0 <= in_software < PACKETS:
        raise RuntimeError(f"{in_software} of {PACKETS} packets in software")
    return Offload(sent_s[in_software], round_trip_s)


def _wait_for_port(port: int) -> str:
    return f"until ss -Hlun sport = :{port} | grep -q .; do sleep 0.01; done"


def _software_packets(net: Any) -> int:
    """What vm1 sent at hv1 and software took."""
    shown = net["hv1"].must(
        "tc", "-s", "-j", "filter", "show", "dev", "ens1f0_0", "ingress", "prio", "2"
    )
    entry = next(
        each["options"]
        for each in json.loads(shown)
        if each.get("chain") == 0 and "options" in each
    )
    stats = entry["actions"][0]["stats"]
    packets: int = stats.get("sw_packets", stats["packets"])
    return packets
