"""Chain mapping: a 16-bit tag for each chain that hardware knows.

Source: mlx5 eswitch_offloads_chains.c:mlx5_esw_chains_get_chain_mapping
"""

from __future__ import annotations

from controller.pipeline import chain_rule
from controller.rules import AddRule, DeleteRule, Message, Rule
from offload.errors import Unsupported
from offload.ids import IdPool, Mapping


class Chains:
    """The tags in use; chain 0 needs none, its tag is 0."""

    def __init__(self, outbox: list[Message], tags: IdPool) -> None:
        self._outbox = outbox
        self._tags: Mapping[int] = Mapping(tags)

    def tag(self, chain: int) -> int:
        """The tag of a chain that is held."""
        return self._tags[chain] if chain else 0

    def hold(self, chain: int) -> None:
        """Use a chain once more.  Raises Unsupported when there are too many."""
        if not chain:
            return
        try:
            first = self._tags.hold(chain)
        except Unsupported as full:
            message = "Requested chain is out of supported range"
            raise Unsupported(f"{message} ({full})") from full
        if first:
            self._outbox.append(AddRule(self._rule(chain)))

    def release(self, chain: int) -> None:
        """Use a chain once less."""
        if not chain:
            return
        rule = self._rule(chain)
        if self._tags.release(chain):
            self._outbox.append(DeleteRule(rule))

    def rules(self) -> list[Rule]:
        """The miss rules of all chains in use."""
        return [self._rule(chain) for chain in self._tags]

    def _rule(self, chain: int) -> Rule:
        return chain_rule(self._tags[chain], chain)
