"""The peer: connection offload as a straightforward Ryu app does it.

Packet-ins are parsed by Ryu, rules are built from Ryu's objects one by one and sent
one by one.  The rules of a connection are the driver's own (bench/offload_rate.py
compares), and so are the packets; what is between is what everybody writes first.

    ports --> hw_ct --hit--> ct_age, post_ct --> the other port
                \\--miss--> ct() --> track --> the other port
                                      \\-> established: a copy of each to us
"""

from __future__ import annotations

from typing import Any

from controller.openflow import ryu_compat  # noqa: F401 isort: skip (before Ryu)
from ryu.base.app_manager import RyuApp
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib.packet import ether_types, in_proto, ipv4, packet, tcp, udp
from ryu.ofproto import nicira_ext, ofproto_v1_3

PORTS, HW_CT, POST_CT, TRACK, CT_AGE = 0, 3, 4, 7, 10
FIRST, SECOND = 1, 2  # the two ports it connects
COPY_BYTES = 128
IDLE_S = 30
NEW, EST, REPLY, TRACKED = 0x01, 0x02, 0x08, 0x20
NO_FRAGMENT = (0, 3)
NO_FIN_NO_RST = (0, 5)


class Straightforward(RyuApp):
    """Connects two ports of each switch, and offloads what is established."""

    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.datapaths: dict[int, Any] = {}
        self.barriers = 0
        self.connections: dict[tuple[Any, ...], int] = {}

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def switch_features(self, ev: Any) -> None:
        """Install the pipeline."""
        datapath = ev.msg.datapath
        parser = datapath.ofproto_parser
        ip = {"eth_type": ether_types.ETH_TYPE_IP}
        self.add_rule(datapath, HW_CT, 0, ip, [self.ct(datapath, table=TRACK)])
        for port, other in ((FIRST, SECOND), (SECOND, FIRST)):
            out = [parser.OFPActionOutput(other)]
            go = [parser.NXActionResubmitTable(table_id=HW_CT)]
            commit = self.ct(datapath, commit=True)
            copy = parser.OFPActionOutput(datapath.ofproto.OFPP_CONTROLLER, COPY_BYTES)
            here = {**ip, "in_port": port}
            new = {**here, "ct_state": (NEW | TRACKED, NEW | TRACKED)}
            est = {**here, "ct_state": (EST | TRACKED, EST | TRACKED)}
            self.add_rule(datapath, PORTS, 10, here, go)
            self.add_rule(datapath, POST_CT, 10, here, out)
            self.add_rule(datapath, TRACK, 10, new, [commit, *out])
            self.add_rule(datapath, TRACK, 10, est, [copy, *out])
        self.datapaths[datapath.id] = datapath

    @staticmethod
    def ct(datapath: Any, table: int = 0xFF, commit: bool = False) -> Any:
        """A ct() action in zone 0."""
        return datapath.ofproto_parser.NXActionCT(
            flags=int(commit),
            zone_src="",
            zone_ofs_nbits=0,
            recirc_table=table,
            alg=0,
            actions=[],
        )

    def add_rule(
        self,
        datapath: Any,
        table: int,
        priority: int,
        match: dict[str, Any],
        actions: list[Any],
        idle_s: int = 0,
    ) -> None:
        """Build a flow-mod and send it."""
        ofproto, parser = datapath.ofproto, datapath.ofproto_parser
        apply = parser.OFPInstructionActions(ofproto.OFPIT_APPLY_ACTIONS, actions)
        message = parser.OFPFlowMod(
            datapath=datapath,
            table_id=table,
            priority=priority,
            match=parser.OFPMatch(**match),
            idle_timeout=idle_s,
            flags=ofproto.OFPFF_SEND_FLOW_REM if idle_s else 0,
            instructions=[apply],
        )
        datapath.send_msg(message)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, ev: Any) -> None:
        """Offload the connection that a copy belongs to."""
        message = ev.msg
        frame = packet.Packet(message.data)
        ip = frame.get_protocol(ipv4.ipv4)
        transport = frame.get_protocol(udp.udp) or frame.get_protocol(tcp.tcp)
        if ip is None or transport is None:
            return
        state, _mask = message.match["ct_state"]
        reply = bool(state & REPLY)
        this_way = (
            ip.src,
            ip.dst,
            ip.proto,
            transport.src_port,
            transport.dst_port,
        )
        original = _inverted(this_way) if reply else this_way
        self.offload(message.datapath, original)

    def offload(self, datapath: Any, original: tuple[Any, ...]) -> None:
        """Install a connection's rules: its two tuples, and its age."""
        if original in self.connections:
            return
        number = len(self.connections) + 1
        self.connections[original] = number
        self.add_tuple(datapath, original, number, EST | TRACKED)
        reply = _inverted(original)
        self.add_tuple(datapath, reply, number, EST | TRACKED | REPLY)
        self.add_rule(datapath, CT_AGE, 10, {"reg1": number}, [], IDLE_S)

    def add_tuple(
        self, datapath: Any, own: tuple[Any, ...], number: int, state: int
    ) -> None:
        """One direction: the driver's match, and the driver's actions."""
        parser = datapath.ofproto_parser
        src, dst, proto, sport, dport = own
        match = {
            "eth_type_nxm": ether_types.ETH_TYPE_IP,
            "ip_proto_nxm": proto,
            "ipv4_src": src,
            "ipv4_dst": dst,
            "reg2": (0, 0xFFFF),
            "ip_frag": NO_FRAGMENT,
        }
        if proto == in_proto.IPPROTO_TCP:
            match |= {"tcp_src": sport, "tcp_dst": dport}
            match["tcp_flags_nxm"] = NO_FIN_NO_RST
        else:
            match |= {"udp_src": sport, "udp_dst": dport}
        actions = [
            self.load(parser, "reg2", 16, 31, state),
            self.load(parser, "reg11", 0, 15, 0),
            self.load(parser, "reg3", 0, 31, 0),
            parser.OFPActionSetField(xxreg1=0),
            self.load(parser, "reg1", 0, 23, number),
            parser.NXActionResubmitTable(table_id=CT_AGE),
            parser.NXActionResubmitTable(table_id=POST_CT),
        ]
        self.add_rule(datapath, HW_CT, 10, match, actions)

    @staticmethod
    def load(parser: Any, register: str, first: int, last: int, value: int) -> Any:
        """Load a value into bits of a register."""
        bits = nicira_ext.ofs_nbits(first, last)
        return parser.NXActionRegLoad(ofs_nbits=bits, dst=register, value=value)

    def send_barrier(self, datapath: Any) -> None:
        """Ask the switch to say when it is done."""
        datapath.send_msg(datapath.ofproto_parser.OFPBarrierRequest(datapath))

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def barrier_reply(self, _ev: Any) -> None:
        """Count the answers."""
        self.barriers += 1


def _inverted(own: tuple[Any, ...]) -> tuple[Any, ...]:
    src, dst, proto, sport, dport = own
    return dst, src, proto, dport, sport
