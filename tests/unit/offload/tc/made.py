"""What command lines of ``tc filter`` become."""

from __future__ import annotations

from offload.act_api import Request
from offload.actions import Action
from offload.flower import KeyMatch
from offload.tc import FilterAdd, parse


def added(line: str) -> FilterAdd:
    """The command of a ``filter add``."""
    command = parse(line.split())
    assert isinstance(command, FilterAdd)
    return command


def keys(words: str, protocol: str = "ip") -> tuple[KeyMatch, ...]:
    """What flower's words ask."""
    return added(f"filter add dev d ingress proto {protocol} flower {words}").match.keys


def actions(words: str) -> tuple[Action, ...]:
    """The actions that words behind ``action`` become."""
    return values_of(requests(words))


def requests(words: str) -> tuple[Request, ...]:
    """The same, with their index and options."""
    return added(f"filter add dev d ingress flower action {words}").actions


def values_of(requests: tuple[Request, ...]) -> tuple[Action, ...]:
    """The actions of requests."""
    return tuple(each.action for each in requests)
