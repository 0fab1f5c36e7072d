"""devlink: the card's sizes and parameters, shown and set."""

from __future__ import annotations

import json

import pytest

from controller import commands
from controller.commands.answer import Answer
from controller.commands.devlink import DEVICE
from tests.unit.controller.bed import LETTER, Bed


def test_sizes_and_what_is_occupied() -> None:
    bed = Bed()
    bed.add(*LETTER)
    shown = bed.run(f"devlink resource show {DEVICE}").stdout.splitlines()
    assert shown[0] == f"{DEVICE}:"
    assert "  name chain_tags size 65535 occ 1 unit entry dpipe_tables none" in shown
    listed = json.loads(bed.run(f"devlink -j resource show {DEVICE}").stdout)
    by_name = {each["name"]: each for each in listed["resources"][DEVICE]}
    assert (by_name["fte_ids"]["occ"], by_name["tunnel_ids"]["size"]) == (1, 63)


def test_a_size_is_set() -> None:
    bed = Bed()
    assert bed.run(f"devlink resource set {DEVICE} path /ct_rules size 64") == Answer()
    assert "name ct_rules size 64 " in bed.run(f"devlink resource show {DEVICE}").stdout


def test_a_parameter_is_set() -> None:
    bed = Bed()
    words = "name ct_insert_latency_us value 200000 cmode runtime"
    assert bed.run(f"devlink dev param set {DEVICE} {words}") == Answer()
    shown = bed.run(f"devlink dev param show {DEVICE}").stdout
    assert "name ct_insert_latency_us type driver-specific\n    values:\n" in shown
    assert "      cmode runtime value 200000\n" in shown
    listed = json.loads(bed.run(f"devlink dev param show {DEVICE} -j").stdout)
    assert listed["param"][DEVICE][0]["values"][0]["value"] == 200000


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (f"resource set {DEVICE} path ct_rules size many", "many is no number"),
        (f"resource set {DEVICE} path nothing size 1", "the card has no nothing"),
        (f"resource set {DEVICE} path ct_insert_seed size 1", "takes these commands"),
        (f"dev param set {DEVICE} name ct_rules value 1 cmode runtime", "takes these"),
        (f"dev param set {DEVICE} name ct_insert_seed value 1", "cmode is runtime"),
        (f"dev eswitch show {DEVICE}", "takes these commands"),
    ],
)
def test_nonsense_is_refused(words: str, reason: str) -> None:
    answer = Bed().run(f"devlink {words}")
    assert answer.code == 1 and not answer.stdout and reason in answer.stderr


@pytest.mark.parametrize("words", ["dev show", "resource show pci/0000:04:00.0"])
def test_what_is_not_about_the_card_is_the_systems(words: str) -> None:
    bed = Bed()
    argv = ["devlink", *words.split()]
    assert commands.run(bed.hypervisor, bed.switch, argv, None, 0.0) is None
