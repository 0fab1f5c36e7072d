"""Chain tags: a small number for each chain in hardware."""

from __future__ import annotations

import pytest

from controller.chains import Chains
from controller.pipeline import chain_rule
from controller.rules import AddRule, DeleteRule, Message
from offload.errors import Unsupported
from offload.ids import IdPool


def tags() -> IdPool:
    return IdPool("chain tag", 0xFFFF)


def test_chain_0_needs_no_tag() -> None:
    outbox: list[Message] = []
    chains = Chains(outbox, tags())
    chains.hold(0)
    chains.release(0)
    assert chains.tag(0) == 0 and not outbox and not chains.rules()


def test_a_chain_has_its_tag_as_long_as_it_is_held() -> None:
    outbox: list[Message] = []
    chains = Chains(outbox, tags())
    chains.hold(2**28 - 1)
    chains.hold(2**28 - 1)
    tag = chains.tag(2**28 - 1)
    assert outbox == [AddRule(chain_rule(tag, 2**28 - 1))]
    assert chains.rules() == [chain_rule(tag, 2**28 - 1)]
    chains.release(2**28 - 1)
    assert len(outbox) == 1
    chains.release(2**28 - 1)
    assert outbox[1:] == [DeleteRule(chain_rule(tag, 2**28 - 1))]
    assert not chains.rules()


def test_two_chains_have_two_tags() -> None:
    chains = Chains([], tags())
    chains.hold(1)
    chains.hold(2)
    assert chains.tag(1) != chains.tag(2) and 0 not in (chains.tag(1), chains.tag(2))


def test_more_chains_than_tags_and_a_tag_that_rests() -> None:
    outbox: list[Message] = []
    tags = IdPool("chain tag", 1, grace_s=2)
    chains = Chains(outbox, tags)
    chains.hold(1)
    with pytest.raises(Unsupported, match="Requested chain is out of supported range"):
        chains.hold(2)
    assert len(outbox) == 1
    chains.release(1)
    tags.tick(10.0)
    tags.tick(11.9)
    with pytest.raises(Unsupported):
        chains.hold(2)
    tags.tick(12.0)
    chains.hold(2)


def test_sixty_thousand_chains_and_then_no_more() -> None:
    chains = Chains([], tags())
    for chain in range(1, 60_001):
        chains.hold(chain)
    assert len({chains.tag(chain) for chain in range(1, 60_001)}) == 60_000
    for chain in range(60_001, 65_536):
        chains.hold(chain)
    with pytest.raises(Unsupported, match="all 65535 are in use"):
        chains.hold(65_536)
