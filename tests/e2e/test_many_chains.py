"""Patch 8 at full size: as many chains as hardware has tags, one more, and room again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.state import tags_held, until
from topologies.testbed import Testbed

CHAINS = 60_000
AT_A_TIME = 5_000  # a command may take 30 s
APART = 4_000  # 60,000 of these stay below 2^28
DEVICE = "ens1f0_0"


def filter_of(chain: int) -> str:
    """A command that adds a chain's only filter."""
    return (
        f"filter add dev {DEVICE} ingress prio 1 chain {chain * APART} proto ip flower verbose "
        "dst_ip 10.9.9.9 action drop"
    )


@pytest.mark.timeout(600)
def test_08_sixty_thousand_chains_and_one_more(
    fresh_net: Callable[..., Testbed], tmp_path: Path
) -> None:
    hv1 = fresh_net(filters=False, card={"chain_tags": CHAINS})["hv1"]
    batch = tmp_path / "chains.tc"
    for first in range(1, CHAINS + 1, AT_A_TIME):
        batch.write_text("\n".join(map(filter_of, range(first, first + AT_A_TIME))))
        hv1.must("tc", "-batch", str(batch))
    assert tags_held(hv1) == CHAINS
    assert hv1.must("why-not") == "", "every filter is in hardware"

    said = hv1.cmd(f"tc {filter_of(CHAINS + 1)}")
    refused = "Requested chain is out of supported range"
    assert f"{refused} (no chain tag is free: all {CHAINS} are in use)" in said
    assert hv1.must("why-not").count("\n") == 1, "it is there, in software"

    hv1.must("tc", "qdisc", "del", "dev", DEVICE, "clsact")
    until(lambda: tags_held(hv1) == 0, "the tags' grace is over")
    hv1.must("tc", "qdisc", "add", "dev", DEVICE, "clsact")
    assert hv1.cmd(f"tc {filter_of(CHAINS + 1)}") == ""
    assert tags_held(hv1) == 1
