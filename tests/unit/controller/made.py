"""Filters made of tc's own words, for tests of what becomes of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from controller.filters import Device, DeviceKind
from offload import tc
from offload.cls_api import Classifier, Filter, Point

DEVICES = {
    "ens1f0_0": Device("ens1f0_0", DeviceKind.REPRESENTOR, 1),
    "ens1f0_1": Device("ens1f0_1", DeviceKind.REPRESENTOR, 2),
    "vxlan0": Device("vxlan0", DeviceKind.TUNNEL, 3),
}
device_of: Callable[[str], Device] = DEVICES.__getitem__


def command(line: str) -> tc.FilterAdd:
    """The command of a line that follows ``tc``."""
    known = DEVICES.__contains__
    parsed = tc.parse(shlex.split(line), known, known)
    assert isinstance(parsed, tc.FilterAdd)
    tc.validate(parsed)
    return parsed


def prepared(line: str, classifier: Classifier | None = None) -> Filter:
    """A ``filter add`` line's filter, checked against those there are."""
    asked = command(line)
    return (classifier or Classifier()).prepare(
        Point(asked.device, asked.hook is tc.Hook.EGRESS),
        asked.match,
        tuple(each.action for each in asked.actions),
        chain=asked.chain or 0,
        prio=asked.prio or 0,
        handle=asked.handle or 0,
        skip_sw=asked.skip_sw,
        skip_hw=asked.skip_hw,
    )


def flower(rest: str, chain: int = 0) -> Filter:
    """A filter of ens1f0_0 for IPv4, told from its keys on."""
    where = f"filter add dev ens1f0_0 ingress prio 1 chain {chain} proto ip flower "
    return prepared(where + rest)
