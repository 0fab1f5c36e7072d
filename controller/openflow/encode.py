"""Messages as bytes: rules packed here, what is rare through Ryu's classes.

Cookies carry the connection's epoch, so that after a reconnection everything
stale can be removed by its old epoch.

    cookie: | epoch 8 | owner 8 | id 48 |
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from ryu.ofproto import ofproto_v1_3 as ofp
from ryu.ofproto import ofproto_v1_3_parser as parser
from ryu.ofproto.ofproto_protocol import ProtocolDesc

from controller.openflow import ryu_compat  # noqa: F401 (before Ryu)
from controller.openflow import oxm
from controller.openflow.actions import packed
from controller.rules import AddRule, DeleteRule, Owner, Rule, RuleAction

PROTOCOL = ProtocolDesc(version=ofp.OFP_VERSION)
_HEADER = Struct("!BBHI")
# cookie, mask, table, command, timeouts, priority, buffer, port, group, flags
_FLOW_MOD = Struct("!QQBBHHHIIIHxx")
_PACKET_OUT = Struct("!IIH6x")  # buffer, port, length of the actions
_APPLY = Struct("!HHxxxx")
_ID_BITS = 48

OWNER_MASK = 0xFF << _ID_BITS
EPOCH_SHIFT = 56
EPOCH_MASK = 0xFF << EPOCH_SHIFT


def cookie(epoch: int, owner: Owner, owner_id: int) -> int:
    """A rule's cookie."""
    return epoch << EPOCH_SHIFT | owner << _ID_BITS | owner_id


def owner_of(of_cookie: int) -> tuple[int, int]:
    """(owner, id) of a cookie."""
    return of_cookie >> _ID_BITS & 0xFF, of_cookie & ((1 << _ID_BITS) - 1)


def add_rule(epoch: int, message: AddRule, idle_s: int = 0) -> bytes:
    """A flow-mod that installs a rule, which goes after ``idle_s`` without a packet."""
    rule = message.rule
    flags = ofp.OFPFF_SEND_FLOW_REM if rule.report_removal else 0
    if message.reset_counters:
        flags |= ofp.OFPFF_RESET_COUNTS
    done = packed(rule.actions)
    apply = _APPLY.pack(ofp.OFPIT_APPLY_ACTIONS, _APPLY.size + len(done))
    return _flow_mod(epoch, rule, ofp.OFPFC_ADD, flags, idle_s, apply + done)


def delete_rule(epoch: int, message: DeleteRule) -> bytes:
    """A flow-mod that removes a rule by its match and priority."""
    return _flow_mod(epoch, message.rule, ofp.OFPFC_DELETE_STRICT)


def _flow_mod(
    epoch: int,
    rule: Rule,
    command: int,
    flags: int = 0,
    idle_s: int = 0,
    instructions: bytes = b"",
) -> bytes:
    """A flow-mod for a rule, packed here: filters are added by the thousand."""
    body = (
        _FLOW_MOD.pack(
            *(cookie(epoch, rule.owner, rule.owner_id), 0),
            *(rule.table, command, idle_s, 0, rule.priority),
            *(ofp.OFP_NO_BUFFER, ofp.OFPP_ANY, ofp.OFPG_ANY, flags),
        )
        + oxm.match(rule.matches)
        + instructions
    )
    header = ofp.OFP_VERSION, ofp.OFPT_FLOW_MOD, _HEADER.size + len(body), 0
    return _HEADER.pack(*header) + body


def delete_by_cookie(of_cookie: int, mask: int, xid: int = 0) -> bytes:
    """A flow-mod that removes every rule whose cookie is ``of_cookie`` under ``mask``."""
    message = parser.OFPFlowMod(
        PROTOCOL,
        cookie=of_cookie,
        cookie_mask=mask,
        table_id=ofp.OFPTT_ALL,
        command=ofp.OFPFC_DELETE,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        match=parser.OFPMatch(),
    )
    return serialized(message, xid)


def flow_stats_request(xid: int, of_cookie: int, mask: int) -> bytes:
    """Ask for the counters of all rules whose cookie is ``of_cookie`` under ``mask``."""
    message = parser.OFPFlowStatsRequest(
        PROTOCOL,
        table_id=ofp.OFPTT_ALL,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        cookie=of_cookie,
        cookie_mask=mask,
    )
    return serialized(message, xid)


def barrier_request(xid: int) -> bytes:
    """Ask the switch to say when everything before is done."""
    return serialized(parser.OFPBarrierRequest(PROTOCOL), xid)


def packet_out(data: bytes, rule_actions: tuple[RuleAction, ...]) -> bytes:
    """Let the switch run actions on a packet of ours; packed here, as rules are."""
    done = packed(rule_actions)
    length = _HEADER.size + _PACKET_OUT.size + len(done) + len(data)
    return b"".join(
        (
            _HEADER.pack(ofp.OFP_VERSION, ofp.OFPT_PACKET_OUT, length, 0),
            _PACKET_OUT.pack(ofp.OFP_NO_BUFFER, ofp.OFPP_CONTROLLER, len(done)),
            done,
            data,
        )
    )


def serialized(message: Any, xid: int = 0) -> bytes:
    """The bytes of one of Ryu's messages."""
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)
