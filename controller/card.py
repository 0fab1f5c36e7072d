"""The emulated card: what it has room for, how fast and how well it works.

    ids    of chains, filters with ct, zones, tunnels, labels
    rules  in the ct tables: one a direction of an entry
    work   how long insertions take, how many fail

Sizes are at first the profile's.  ``devlink`` shows and changes all of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any, NamedTuple

from offload.actions import Ct
from offload.cls_api import Filter
from offload.conntrack import Direction
from offload.errors import OffloadError, Unsupported
from offload.flow_table import FlowRule
from offload.flower import Key
from offload.ids import IdPool, Mapping
from offload.profile import LabelMatch, Profile

GRACE_S = 2.0  # Source: mlx5 en/mapping.c:MAPPING_GRACE_PERIOD
INSERTION_FAILED = "the card failed to insert a rule"
_MOST_US = 60_000_000
_TUNNEL_KEYS = tuple(key for key in Key if key.name.startswith("ENC_"))


class BadSetting(OffloadError):
    """The card has no such setting, or not with this value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How insertions into the ct tables go; the seed says which of them fail."""

    ct_insert_latency_us: int = 0
    ct_insert_failure_percent: int = 0
    ct_insert_seed: int = 0

    def __post_init__(self) -> None:
        for name, most in (
            ("ct_insert_latency_us", _MOST_US),
            ("ct_insert_failure_percent", 100),
            ("ct_insert_seed", 2**32 - 1),
        ):
            if not 0 <= getattr(self, name) <= most:
                raise BadSetting(f"{name} must be from 0 to {most}")


WORK = tuple(each.name for each in fields(Work))


class Resource(NamedTuple):
    """One kind of thing the card has."""

    name: str
    size: int
    occupied: int


class Card:
    """One hypervisor's."""

    def __init__(self, profile: Profile) -> None:
        limits = profile.limits
        self.profile = profile
        self.work = Work()
        self.chains = IdPool("chain tag", limits.chains, GRACE_S)
        self.fte_ids: Mapping[int] = Mapping(IdPool("fte id", limits.fte_ids))
        self.zones = _mapping("zone id", limits.zones)
        self.tunnels = _mapping("tunnel id", limits.tunnels)
        self.labels = _mapping("label id", limits.labels)
        self._maps_labels = profile.labels is LabelMatch.MAPPED
        self._rules = {"ct_rules": limits.ct_rules, "tuple_ids": limits.tuple_ids}
        self._held: tuple[set[int], set[int]] = (set(), set())  # a direction's entries
        self._occupied = 0  # how many these are
        self._random = Random(0)

    def needed_by(self, filter_: Filter) -> Iterator[tuple[Mapping[Any], Hashable]]:
        """The ids that a filter in hardware holds, but for its chains'."""
        if any(isinstance(each, Ct) and not each.clear for each in filter_.actions):
            yield self.fte_ids, filter_.id
        for zone in filter_.zones:
            yield self.zones, zone
        asked = filter_.match
        tunnel = tuple(each for each in asked.keys if each.key in _TUNNEL_KEYS)
        if tunnel and not filter_.chain:
            yield self.tunnels, tunnel
        label = asked.get(Key.CT_LABEL)
        if label is not None and self._maps_labels:
            yield self.labels, label.value

    def take(self, rule: FlowRule) -> None:
        """Find room for a direction of an entry.  Raises Unsupported."""
        held = self._held[rule.direction]
        if rule.entry_id in held:
            return
        for name, size in self._rules.items():
            if self._occupied >= size:
                raise Unsupported(f"no room: all {size} {name} are in use")
        if self._maps_labels and rule.metadata.label:
            self.labels.hold(rule.metadata.label)
        held.add(rule.entry_id)
        self._occupied += 1

    def give_back(self, rule: FlowRule) -> bool:
        """A direction of an entry goes; False if it was not there."""
        held = self._held[rule.direction]
        if rule.entry_id not in held:
            return False
        held.remove(rule.entry_id)
        self._occupied -= 1
        if self._maps_labels and rule.metadata.label:
            self.labels.release(rule.metadata.label)
        return True

    def fails(self) -> bool:
        """Does the next insertion fail?"""
        percent = self.work.ct_insert_failure_percent
        return bool(percent) and self._random.uniform(0, 100) < percent

    @property
    def room(self) -> int:
        """For how many entries, both directions, there is room."""
        return max(min(self._rules.values()) - self._occupied, 0) // len(Direction)

    def resources(self) -> list[Resource]:
        """Everything that may run out."""
        rules = [Resource(*each, self._occupied) for each in self._rules.items()]
        ids = [Resource(_name(p), p.limit, len(p)) for p in self._pools()]
        return rules + ids

    def set(self, name: str, value: int) -> None:
        """Change a size or how insertions go; what is there stays.  Raises BadSetting."""
        if name in WORK:
            self.work = replace(self.work, **{name: value})
            self._random = Random(self.work.ct_insert_seed)
            return
        if not 0 <= value < 2**32:
            raise BadSetting(f"{name}: {value} is no size")
        for pool in self._pools():
            if _name(pool) == name:
                pool.limit = value
                return
        if name not in self._rules:
            known = ", ".join((*(each.name for each in self.resources()), *WORK))
            raise BadSetting(f"the card has no {name}: there are {known}")
        self._rules[name] = value

    def tick(self, now_s: float) -> None:
        """Free ids whose time of grace is over."""
        for pool in self._pools():
            pool.tick(now_s)

    def _pools(self) -> tuple[IdPool, ...]:
        mapped = (self.fte_ids, self.zones, self.tunnels, self.labels)
        return (self.chains, *(each.pool for each in mapped))


def _mapping(what: str, limit: int) -> Mapping[Any]:
    return Mapping(IdPool(what, limit, GRACE_S))


def _name(pool: IdPool) -> str:
    return f"{pool.what.replace(' ', '_')}s"
