"""The testbed answers tc's command lines as the real tc on the real kernel did."""

from __future__ import annotations

import shlex

import pytest

from controller import commands
from tests.conversations import DEVICES, NAMES, Said, comparable, recorded
from tests.unit.controller.bed import Bed


@pytest.mark.parametrize("name", NAMES)
def test_says_what_the_real_one_said(name: str) -> None:
    """Without hardware, since the oracle has none; what differs is marked with its reason."""
    bed = Bed(offload=False)
    for device in DEVICES:
        bed.add(f"qdisc add dev {device} clsact")
    wrong = []
    for line, answer in recorded(name):
        argv = ["tc", *shlex.split(line.words)]
        said = commands.run(bed.hypervisor, bed.switch, argv, None, bed.now_s)
        bed.deliver()
        assert said is not None, f"the system's: {line.words}"
        ours = comparable(Said(said.code, said.stdout, said.stderr))
        theirs = comparable(answer)
        if (ours == theirs) is bool(line.differs):
            wrong.append((line, ours, theirs))
    assert not wrong, "\n".join(
        f"{line}\n  {ours}\n  {theirs}" for line, ours, theirs in wrong
    )
