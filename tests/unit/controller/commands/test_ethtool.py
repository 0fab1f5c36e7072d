"""``ethtool`` at a hypervisor: the one feature that is the driver's."""

from __future__ import annotations

import pytest

from controller import commands
from controller.commands.answer import Answer
from tests.unit.controller.bed import LETTER, Bed


def test_off_and_on() -> None:
    bed = Bed()
    assert bed.run("ethtool -k ens1f0").stdout.endswith("hw-tc-offload: on\n")
    assert bed.run("ethtool -K ens1f0 hw-tc-offload off") == Answer()
    assert not bed.hypervisor.filters.offload and bed.switch.settles == 1
    assert bed.run("ethtool -k ens1f0_0").stdout.endswith("hw-tc-offload: off\n")
    assert bed.run("ethtool -K ens1f0_0 hw-tc-offload on") == Answer()
    assert bed.hypervisor.filters.offload


def test_not_under_filters_that_only_hardware_has() -> None:
    bed = Bed()
    bed.add(LETTER[0].replace("flower", "flower skip_sw"))
    answer = bed.run("ethtool -K ens1f0 hw-tc-offload off")
    assert answer.code == 1
    assert answer.stderr == (
        "Active offloaded tc filters, can't turn hw_tc_offload off\n"
        "Cannot change hw-tc-offload\n"
    )
    assert bed.hypervisor.filters.offload


def test_mistakes() -> None:
    bed = Bed()
    assert bed.run("ethtool -K eth0 hw-tc-offload off").code == 1
    bad = bed.run("ethtool -K ens1f0 hw-tc-offload maybe")
    assert bad == Answer(1, stderr="ethtool: bad command line argument(s)\n")


@pytest.mark.parametrize("words", ["-K ens1f0 tx off", "-k eth0", "-i ens1f0", ""])
def test_the_rest_is_the_systems(words: str) -> None:
    bed = Bed()
    argv = ["ethtool", *words.split()]
    assert commands.run(bed.hypervisor, bed.switch, argv, None, 0.0) is None
