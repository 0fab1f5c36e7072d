"""Every field a rule matches or sets: packet headers, metadata, registers.

The registers are mlx5's, one for each of its metadata fields, and a few that
in the kernel are members of the skb.  Source: mlx5 en_tc.h, eswitch.h (REG_C)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from offload.flower import CtState


@dataclass(frozen=True, slots=True)
class Field:
    """``bits`` bits from bit ``start`` of an OVS field.

    ``oxm`` is the OVS field's name in Ryu, ``oxm_bits`` its whole width;
    ``counterpart`` is what mlx5 or the kernel keeps there.
    """

    name: str
    oxm: str
    bits: int
    start: int = 0
    oxm_bits: int = 0
    counterpart: str = ""

    @property
    def full_mask(self) -> int:
        """The mask of an exact match, before it is shifted into place."""
        return (1 << self.bits) - 1

    @property
    def width(self) -> int:
        """Bits of the OVS field that this one is (a part of)."""
        return self.oxm_bits or self.bits

    def part(self, start: int, bits: int = 0) -> Field:
        """``bits`` of this field from bit ``start``, all that are left if 0."""
        bits = bits or self.bits - start
        name = f"{self.name}[{start}..]"
        return Field(name, self.oxm, bits, self.start + start, self.width)


def _header(oxm: str, bits: int) -> Field:
    return Field(oxm, oxm, bits)


IN_PORT = _header("in_port", 32)
ETH_DST = _header("eth_dst", 48)
ETH_SRC = _header("eth_src", 48)
# Ryu sorts a match by OXM number and OVS wants prerequisites first: the NXM
# forms of these two sort before everything that depends on them.
ETH_TYPE = _header("eth_type_nxm", 16)
IP_PROTO = _header("ip_proto_nxm", 8)
VLAN_VID = _header("vlan_vid", 13)
VLAN_PCP = _header("vlan_pcp", 3)
VLAN_PRESENT = 0x1000  # of VLAN_VID and VLAN_TCI: there is a tag
# As a whole, since OVS writes the PCP only where a rule asked for a tag.
VLAN_TCI = _header("vlan_tci", 16)
IP_DSCP = _header("ip_dscp", 6)
IP_ECN = _header("ip_ecn", 2)
IP_TTL = _header("nw_ttl", 8)
IP_FRAG = _header("ip_frag", 8)
IPV4_SRC = _header("ipv4_src", 32)
IPV4_DST = _header("ipv4_dst", 32)
IPV6_SRC = _header("ipv6_src", 128)
IPV6_DST = _header("ipv6_dst", 128)
IPV6_FLOW_LABEL = _header("ipv6_flabel", 20)
ARP_OP = _header("arp_op", 16)
ARP_SPA = _header("arp_spa", 32)
ARP_TPA = _header("arp_tpa", 32)
ARP_SHA = _header("arp_sha", 48)
ARP_THA = _header("arp_tha", 48)
TCP_SRC = _header("tcp_src", 16)
TCP_DST = _header("tcp_dst", 16)
TCP_FLAGS = _header("tcp_flags_nxm", 16)
UDP_SRC = _header("udp_src", 16)
UDP_DST = _header("udp_dst", 16)
SCTP_SRC = _header("sctp_src", 16)
SCTP_DST = _header("sctp_dst", 16)
ICMPV4_TYPE = _header("icmpv4_type", 8)
ICMPV4_CODE = _header("icmpv4_code", 8)
ICMPV6_TYPE = _header("icmpv6_type", 8)
ICMPV6_CODE = _header("icmpv6_code", 8)
TUN_ID = _header("tunnel_id", 64)
TUN_IPV4_SRC = _header("tun_ipv4_src", 32)
TUN_IPV4_DST = _header("tun_ipv4_dst", 32)
TUN_IPV6_SRC = _header("tun_ipv6_src", 128)
TUN_IPV6_DST = _header("tun_ipv6_dst", 128)
CONNTRACK_STATE = _header("ct_state", 32)
CONNTRACK_MARK = _header("ct_mark", 32)
CONNTRACK_LABEL = _header("ct_label", 128)
CONNTRACK_PROTO = _header("ct_nw_proto", 8)
CONNTRACK_IPV4_SRC = _header("ct_nw_src", 32)
CONNTRACK_IPV4_DST = _header("ct_nw_dst", 32)
CONNTRACK_IPV6_SRC = _header("ct_ipv6_src", 128)
CONNTRACK_IPV6_DST = _header("ct_ipv6_dst", 128)
CONNTRACK_SPORT = _header("ct_tp_src", 16)
CONNTRACK_DPORT = _header("ct_tp_dst", 16)

CHAIN_TAG = Field("chain_tag", "reg0", 16, 0, 32, "mlx5 C0[15:0], chain mapping")
TUPLE_ID = Field("tuple_id", "reg1", 24, 0, 32, "mlx5 C1[23:0], which entry was hit")
ZONE = Field("zone", "reg2", 16, 0, 32, "mlx5 C2[15:0], the zone to look up in")
CT_STATE = Field("ct_state", "reg2", 16, 16, 32, "mlx5 C2[31:16]")
MARK = Field("mark", "reg3", 32, counterpart="mlx5 C3")
LABEL = Field("label", "xxreg1", 128, counterpart="mlx5 C4 (its low 32 bits)")
FTE_ID = Field("fte_id", "reg8", 32, counterpart="mlx5 C5")
CHAIN = Field("chain", "reg9", 32, counterpart="tcf_result: the chain software runs")
CT_ZONE = Field("ct_zone", "reg11", 16, 0, 32, "nf_ct_zone() of the skb's connection")
OFFER = Field("offer", "reg10", 1, 0, 32, "act_ct may call process_conn")
MIRREDS = Field("mirreds", "reg10", 5, 2, 32, "mirred_rec_level: ones counted")
SEGMENT = Field("segment", "reg10", 16, 16, 32, "how far behind continue it is")
GOTOS = Field("gotos", "reg12", 32, counterpart="tcf_classify's limit: ones counted")
FIRST_CHAIN = Field("first_chain", "reg13", 32, counterpart="where tcf_classify began")
COMMIT = Field("commit", "reg10", 1, 1, 32, "nf_ct_is_confirmed(), after ct()")
BEGUN = Field("begun", "reg10", 1, 7, 32, "it made its connection nearly assured")
BINDS = Field("binds", "reg10", 1, 8, 32, "ct() is to bind it to a range of NAT")
LEAVES_BY = Field("leaves_by", "reg14", 16, 0, 32, "skb->dev: the port of its device")
SENDS = Field(
    "sends", "reg14", 16, 16, 32, "the port it leaves by, of a tunnel's several"
)

REGISTERS = (
    CHAIN_TAG,
    TUPLE_ID,
    ZONE,
    CT_STATE,
    MARK,
    LABEL,
    FTE_ID,
    CHAIN,
    OFFER,
    COMMIT,
    BEGUN,
    BINDS,
    CT_ZONE,
    MIRREDS,
    SEGMENT,
    GOTOS,
    FIRST_CHAIN,
    LEAVES_BY,
    SENDS,
)

# What begins anew where a packet enters the classifier.
OF_A_CLASSIFICATION = (FTE_ID, CHAIN, SEGMENT, CHAIN_TAG, GOTOS, FIRST_CHAIN)

# What is known of a connection, kept in conntrack itself: what act_ct has been told
# of it, so that it costs a fixed number of copies however fast its packets come,
# and what Open vSwitch forgets of a TCP connection that nobody answered.
# Model: these four of the 128 label bits are not the user's.
LABEL_BITS = 124
PICKED_UP = Field("picked_up", "ct_label", 1, LABEL_BITS, 128)
ANSWERED = Field("answered", "ct_label", 1, LABEL_BITS + 1, 128)
TOLD = Field("told", "ct_label", 2, LABEL_BITS + 2, 128)


class Told(IntEnum):
    """HALF: its first commit (UDP), or a reply that made it nearly assured (TCP)."""

    NOTHING = 0
    OFFERED = 1
    HALF = 2
    CLOSING = 3


# ct_state in the register is as OVS numbers it, since it is moved from there.
_OVS_CT_STATE = {
    CtState.NEW: 0x01,
    CtState.EST: 0x02,
    CtState.REL: 0x04,
    CtState.RPL: 0x08,
    CtState.INV: 0x10,
    CtState.TRK: 0x20,
}
OVS_SNAT = 0x40
OVS_DNAT = 0x80


@cache
def ovs_ct_state(state: CtState) -> int:
    """flower's ct_state bits as OVS's."""
    return sum(bit for flag, bit in _OVS_CT_STATE.items() if flag in state)


@cache
def flower_ct_state(ovs_state: int) -> CtState:
    """OVS's ct_state bits as flower's."""
    state = CtState(0)
    for flag, bit in _OVS_CT_STATE.items():
        if ovs_state & bit:
            state |= flag
    return state
