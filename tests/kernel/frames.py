"""The frames of a conversation, made with scapy, as bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scapy.all import ICMP, IP, TCP, UDP, Ether, Raw

from tests.kernel.cases.case import Send

CLIENT_MAC = "24:8a:07:a5:28:01"
SERVER_MAC = "24:8a:07:a5:28:02"
CLIENT = "10.0.0.1"
SERVER = "10.0.0.2"
CLIENT_PORT = "ens1f0_0"
SERVER_PORT = "ens1f0_1"


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation between a client at ens1f0_0 and a server at ens1f0_1.

    Sequence numbers count from the initial ones (1000 and 5000), so that 0 is the SYN's and 1 the
    first byte's.
    """

    client: str = CLIENT
    server: str = SERVER
    sport: int = 1000
    dport: int = 80

    def out(self, flags: str, seq: int = 0, ack: int = 0, data: int = 0) -> Send:
        """A TCP segment of the client's."""
        segment = self.tcp(flags, 1000 + seq, 5000 + ack, data)
        return Send(CLIENT_PORT, self.to_server(segment))

    def back(self, flags: str, seq: int = 0, ack: int = 0, data: int = 0) -> Send:
        """A TCP segment of the server's."""
        segment = self.tcp(flags, 5000 + seq, 1000 + ack, data)
        segment[TCP].sport, segment[TCP].dport = self.dport, self.sport
        return Send(SERVER_PORT, self.to_client(segment))

    def udp_out(self, data: int = 8) -> Send:
        """A datagram of the client's."""
        datagram = UDP(sport=self.sport, dport=self.dport) / Raw(bytes(data))
        return Send(CLIENT_PORT, self.to_server(datagram))

    def udp_back(self, data: int = 8) -> Send:
        """A datagram of the server's."""
        datagram = UDP(sport=self.dport, dport=self.sport) / Raw(bytes(data))
        return Send(SERVER_PORT, self.to_client(datagram))

    def icmp_out(self, kind: int, ident: int = 7) -> Send:
        """An ICMP message of the client's: 8 asks for an echo, 0 is one."""
        return Send(CLIENT_PORT, self.to_server(ICMP(type=kind, id=ident)))

    def handshake(self) -> tuple[Send, Send, Send]:
        """SYN, SYN-ACK, ACK."""
        return self.out("S"), self.back("SA", 0, 1), self.out("A", 1, 1)

    def tcp(self, flags: str, seq: int, ack: int, data: int, **more: Any) -> Any:
        """A segment of the client's, without what is below."""
        ack = ack if "A" in flags else 0
        ports = {"sport": self.sport, "dport": self.dport}
        header = TCP(flags=flags, seq=seq, ack=ack, window=8192, **ports, **more)
        return header / Raw(bytes(data))

    def to_server(self, payload: Any) -> bytes:
        """Wrap what the client sends."""
        ip = IP(src=self.client, dst=self.server)
        return bytes(Ether(src=CLIENT_MAC, dst=SERVER_MAC) / ip / payload)

    def to_client(self, payload: Any) -> bytes:
        """Wrap what the server sends."""
        ip = IP(src=self.server, dst=self.client)
        return bytes(Ether(src=SERVER_MAC, dst=CLIENT_MAC) / ip / payload)
