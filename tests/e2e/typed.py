"""Filters that tests type: prio 1, which the ready-made ones leave free.

Written as in a ``.tc`` file, without ``tc filter add``; ``put_back`` removes them.
"""

from __future__ import annotations

from typing import Any

from tests.e2e.asked import asked
from tests.e2e.state import settle

ENCAP_TO_HV2 = (
    "action tunnel_key set src_ip 0.0.0.0 dst_ip 7.7.7.8 id 98 dst_port 4789 "
    "action mirred egress redirect dev vxlan0"
)


def add(hypervisor: Any, *lines: str) -> None:
    """Type filters, one a line: ``DEVICE chain N proto P flower MATCH action ...``."""
    for line in lines:
        device, rest = line.split(maxsplit=1)
        words = f"filter add dev {device} ingress prio 1 {rest}"
        assert asked(hypervisor, "tc", *words.split()) == ""
    settle(hypervisor)


def delete(hypervisor: Any, device: str, chain: int) -> None:
    """Remove what was typed in a chain of a device."""
    words = f"filter del dev {device} ingress prio 1 chain {chain}"
    assert asked(hypervisor, "tc", *words.split()) == ""
    settle(hypervisor)
