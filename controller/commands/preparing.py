"""What the switch must have before rules are made for some actions."""

from __future__ import annotations

from collections.abc import Iterable

from controller.commands.answer import Switch
from controller.tunnels import unusual
from offload.act_api import Request
from offload.cls_api import zones_of


def prepare(switch: Switch, requests: Iterable[Request]) -> None:
    """Zones' timeouts, tunnels' ports.  Blocks its caller: nothing may be half done."""
    actions = tuple(each.action for each in requests)
    for zone in zones_of(actions):
        switch.prepare_zone(zone)
    for outer in unusual(actions):
        switch.prepare_tunnel(outer)
