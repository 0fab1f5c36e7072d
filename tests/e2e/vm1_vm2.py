"""vm1 and vm2, which one hypervisor sees: what they say, and typed filters that track it.

    vm1 10.0.0.51 --ens1f0_0-->  hv1, in a zone of the test's own  --ens1f0_1--> vm2 10.0.0.52

Their addresses are those of no machine, so no kernel answers on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.state import connections
from tests.e2e.tcp_udp import Conversation, End, TcpConversation, UdpConversation
from tests.e2e.wire import Port

HV1 = ["hv1"]
VM1, VM2 = "24:8a:07:a5:28:01", "24:8a:07:a5:28:02"
TO_VM1 = "action mirred egress redirect dev ens1f0_0"
TO_VM2 = "action mirred egress redirect dev ens1f0_1"
FROM_VM1 = f"ens1f0_0 chain 0 proto ip flower src_mac {VM1} dst_mac {VM2} ct_state -trk"
FROM_VM2 = f"ens1f0_1 chain 0 proto ip flower src_mac {VM2} dst_mac {VM1} ct_state -trk"


@dataclass(frozen=True, slots=True)
class Family:
    """An address family's addresses: a client, a server, and what NAT makes of one."""

    protocol: str
    client: str
    server: str
    translated: str


IPV4 = Family("ip", "10.0.0.51", "10.0.0.52", "10.0.0.100")
IPV6 = Family("ipv6", "fd00::51", "fd00::52", "fd00::100")
families = pytest.mark.parametrize("family", [IPV4, IPV6], ids=["ipv4", "ipv6"])


def udp(ports: dict[str, Port], sport: int = 4000) -> UdpConversation:
    """Datagrams between vm1 and vm2."""
    return UdpConversation(client(ports, sport), End(ports["vm2"], "10.0.0.52", 53))


def tcp(ports: dict[str, Port], sport: int = 4000) -> TcpConversation:
    """A TCP connection between vm1 and vm2."""
    return TcpConversation(client(ports, sport), End(ports["vm2"], "10.0.0.52", 80))


def client(ports: dict[str, Port], sport: int = 4000) -> End:
    """vm1's end."""
    return End(ports["vm1"], "10.0.0.51", sport)


def talk(conversation: Conversation) -> None:
    """Enough for an entry: a handshake, or a question and an answer."""
    if isinstance(conversation, TcpConversation):
        conversation.shake_hands()
    if isinstance(conversation, UdpConversation):
        conversation.say()
        conversation.say(reply=True)


def exchange(conversation: Conversation, data: bytes = b"x") -> None:
    """A packet each way; each must arrive translated, byte for byte."""
    if isinstance(conversation, TcpConversation):
        conversation.say("PA", data=data)
        conversation.say("PA", reply=True, data=data)
    if isinstance(conversation, UdpConversation):
        conversation.say(data=data)
        conversation.say(reply=True, data=data)


def zone_filters(zone: int, chain: int, commit: str = "", match: str = "") -> list[str]:
    """Both directions in a zone, for sources ``match`` says; vm1's are of no one's once new."""
    back = match.replace("src_ip", "dst_ip")
    track = f"action ct zone {zone} pipe action goto chain {chain}"
    return [
        f"{FROM_VM1} {match} {track}",
        f"ens1f0_0 chain {chain} proto ip flower ct_state +trk+new "
        f"action ct commit zone {zone} {commit} pipe {TO_VM2}",
        f"{FROM_VM2} {back} {track}",
        f"ens1f0_1 chain {chain} proto ip flower ct_state +trk+est {TO_VM1}",
    ]


def est_filter(chain: int, flags: str = "") -> str:
    """What is established, from vm1 to vm2."""
    return f"ens1f0_0 chain {chain} proto ip flower {flags} ct_state +trk+est {TO_VM2}"


def nat_filters(protocol: str, nat: str, back: str = "ct zone 5 nat") -> list[str]:
    """Both directions in zone 5; new connections are committed with ``nat``."""
    there = f"ens1f0_0 chain 0 proto {protocol} flower src_mac {VM1} dst_mac {VM2}"
    away = f"ens1f0_1 chain 0 proto {protocol} flower src_mac {VM2} dst_mac {VM1}"
    return [
        f"{there} ct_state -trk action ct zone 5 nat pipe action goto chain 50",
        f"ens1f0_0 chain 50 proto {protocol} flower ct_state +trk+new "
        f"action ct commit zone 5 nat {nat} pipe {TO_VM2}",
        f"ens1f0_0 chain 50 proto {protocol} flower ct_state +trk+est {TO_VM2}",
        f"{away} ct_state -trk action {back} pipe action goto chain 50",
        f"ens1f0_1 chain 50 proto {protocol} flower ct_state +trk+est {TO_VM1}",
    ]


def flags(hypervisor: Any, zone: int) -> list[str]:
    """What ``conntrack -L`` says of a zone's connections: OFFLOAD, HW_OFFLOAD or nothing."""
    return [each.flag for each in connections(hypervisor, "-w", str(zone))]
