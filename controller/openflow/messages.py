"""Any message to a switch as bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from ryu.ofproto import ofproto_v1_3 as ofp

from controller.openflow import conntrack, encode, entries
from controller.openflow.bundle import bundled
from controller.rules import (
    AckBoth,
    AddEntry,
    AddRule,
    CountEntry,
    DeleteConnection,
    DeleteConnections,
    DeleteEntry,
    DeleteRule,
    DeleteStale,
    DeleteWatch,
    Later,
    Message,
    OfferAgain,
    RestoreConnection,
    WatchEntry,
)

# The types of what is read without Ryu (channel.py): a message's second byte.
PACKET_IN = ofp.OFPT_PACKET_IN
REMOVED = ofp.OFPT_FLOW_REMOVED
ERROR = ofp.OFPT_ERROR
STATS = ofp.OFPT_MULTIPART_REPLY
BARRIER = ofp.OFPT_BARRIER_REPLY
BUNDLE = ofp.OFPT_EXPERIMENTER

# Few entries' rules are as quick one by one, and each may fail alone.
_WORTH_A_BUNDLE = 16


def _delete_stale(message: DeleteStale) -> bytes:
    """Remove what another epoch left; everything, if that is not known."""
    if message.epoch is None:
        return encode.delete_by_cookie(0, 0)
    return encode.delete_by_cookie(
        message.epoch << encode.EPOCH_SHIFT, encode.EPOCH_MASK
    )


_ENCODERS: dict[type, Callable[[int, Any], bytes]] = {
    AddRule: encode.add_rule,
    DeleteRule: encode.delete_rule,
    AddEntry: entries.add_entry,
    Later: lambda _, __: b"",
    WatchEntry: entries.watch_entry,
    DeleteEntry: entries.delete_entry,
    CountEntry: entries.count_entry,
    DeleteWatch: entries.delete_watch,
    DeleteConnection: lambda _, message: conntrack.delete_connection(message),
    DeleteConnections: lambda _, message: conntrack.delete_all(),
    RestoreConnection: lambda _, message: conntrack.restore(message),
    AckBoth: lambda _, message: conntrack.ack_both(message),
    OfferAgain: lambda _, message: conntrack.offer_again(message),
    DeleteStale: lambda _, message: _delete_stale(message),
}


def encoded(epoch: int, messages: Iterable[Message], in_bundles: bool = True) -> bytes:
    """Messages as one run of bytes, in their order; entries' rules by the bundle, if many."""
    parts: list[bytes] = []
    for of_entries, run in groupby(messages, _is_of_entry):
        packed = [_ENCODERS[type(message)](epoch, message) for message in run]
        if of_entries and in_bundles and len(packed) >= _WORTH_A_BUNDLE:
            parts.append(bundled(b"".join(packed)))
        else:
            parts += packed
    return b"".join(parts)


def _is_of_entry(message: Message) -> bool:
    return isinstance(message, (AddEntry, DeleteEntry))
