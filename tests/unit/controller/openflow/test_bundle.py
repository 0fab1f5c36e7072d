"""Bundles, as Ryu would build them."""

from __future__ import annotations

from controller.openflow import bundle, encode
from controller.pipeline import UNUSED_RULE
from controller.rules import AddRule
from tests.unit.controller import read_back

# After controller.openflow, which makes Ryu fit for it.
from ryu.ofproto import ofproto_v1_3 as ofp  # isort: skip
from ryu.ofproto import ofproto_v1_3_parser as parser  # isort: skip

RULE = encode.add_rule(0, AddRule(UNUSED_RULE))
COMMIT = encode.serialized(
    parser.ONFBundleCtrlMsg(encode.PROTOCOL, 1, ofp.ONF_BCT_COMMIT_REQUEST, 0, []),
    bundle.XID,
)
NUMBERED = RULE[:4] + bundle.XID.to_bytes(4, "big") + RULE[8:]


def test_a_bundle_is_what_ryu_makes_of_it() -> None:
    # Ryu would serialize the message inside anew, so what is around it is compared.
    empty = encode.serialized(
        parser.ONFBundleCtrlMsg(encode.PROTOCOL, 1, 0, 0, []), bundle.XID
    )
    made = bundle.bundled(RULE)
    added, commit = made[: -len(COMMIT)], made[-len(COMMIT) :]
    assert commit == COMMIT
    assert added[4:12] == empty[4:12] and added[16:20] == empty[16:20]
    assert added[:4] == bytes((4, 4)) + len(added).to_bytes(2, "big")
    assert added[24:] == NUMBERED


def test_a_bundle_is_committed_before_it_grows_too_long() -> None:
    for count, commits in ((bundle.MOST, 1), (bundle.MOST + 1, 2)):
        made = bundle.bundled(RULE * count)
        assert made.count(COMMIT) == commits
        assert [*read_back.messages(made)] == [NUMBERED] * count
    assert bundle.bundled(b"") == b""
