"""tc -batch: from a file and from stdin, up to the line that fails, or past it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command_line import (
    CHAIN,
    FINE,
    KERNEL_SAID_NO,
    Said,
    flush,
    has_modelled_tc,
    shown,
    system_says,
    typed,
    unchanged,
)
from topologies.testbed import Testbed

ADD = f"filter add dev ens1f0_0 ingress chain {CHAIN} prio 1 proto ip flower"
EXISTS = f"RTNETLINK answers: File exists\n{KERNEL_SAID_NO}"
TWICE = f"""# the second of these fails
{ADD} dst_ip 10.9.0.1 action drop

{ADD} dst_ip 10.9.0.1 \\
    action drop
{ADD} dst_ip 10.9.0.2 action drop
"""


@pytest.fixture
def hv1(module_net: Testbed) -> Iterator[Any]:
    yield module_net["hv1"]
    flush(module_net["hv1"])


def test_from_a_file_and_from_stdin(hv1: Any, tmp_path: Path) -> None:
    file = tmp_path / "two.tc"
    file.write_text(f"{ADD} dst_ip 10.9.0.1 action drop\n")
    assert typed(hv1, f"tc -batch {file}") == FINE
    assert typed(hv1, "tc -b -", f"{ADD} dst_ip 10.9.0.2 action drop") == FINE
    assert len(shown(hv1)) == 2


def test_nothing_in_it(hv1: Any) -> None:
    with unchanged(hv1):
        assert typed(hv1, "tc -batch -", "\n# nothing\n   \n") == FINE


def test_it_stops_at_the_line_that_fails(hv1: Any, tmp_path: Path) -> None:
    file = tmp_path / "twice.tc"
    file.write_text(TWICE)
    for name, stdin in ((str(file), ""), ("-", TWICE)):
        said = typed(hv1, f"tc -batch {name}", stdin)
        assert said == Said(1, "", f"{EXISTS}Command failed {name}:5\n")
        assert len(shown(hv1)) == 1
        flush(hv1)


def test_force_goes_on(hv1: Any) -> None:
    said = typed(hv1, "tc -force -batch -", TWICE)
    assert said == Said(1, "", f"{EXISTS}Command failed -:5\n")
    assert len(shown(hv1)) == 2


@pytest.mark.parametrize(
    "line",
    [
        f"{ADD} bogus_key",
        f"{ADD} ct_state +bogus",
        "nonsense",
        f"{ADD} bogus_key\0 action drop",
        f'{ADD} dst_ip "10.9.0.1',
    ],
)
def test_a_line_that_is_no_command(hv1: Any, line: str) -> None:
    """Its message, without the usage, and its place are the system tc's."""
    system = system_says(hv1, "tc -batch -", f"\n{line}\n")
    with unchanged(hv1):
        said = typed(hv1, "tc -batch -", f"\n{line}\n")
    assert said.code == system.code != 0
    ours, theirs = said.stderr.splitlines(), system.stderr.splitlines()
    same = (ours[0], ours[-1]) == (theirs[0], theirs[-1])
    assert same or not has_modelled_tc(hv1)


def test_a_line_for_the_systems_tc(hv1: Any) -> None:
    """Model: a batch is the testbed's alone, and says so of a line that is not."""
    line = "filter add dev nosuch ingress prio 1 proto ip flower action drop"
    with unchanged(hv1):
        said = typed(hv1, "tc -batch -", f"{line}\n")
    assert said.code == 1
    assert line in said.stderr
    assert said.stderr.endswith("Command failed -:1\n")


def test_what_is_shown_in_a_batch(hv1: Any) -> None:
    show = f"filter show dev ens1f0_0 ingress chain {CHAIN}"
    add = f"{ADD} dst_ip 10.9.0.1 action drop"
    said = typed(hv1, "tc -batch -", f"{add}\n{show}\n")
    assert said == Said(0, typed(hv1, f"tc {show}").stdout)
    assert "dst_ip 10.9.0.1" in said.stdout


def test_a_directory_is_no_file(hv1: Any) -> None:
    said = typed(hv1, "tc -batch /")
    assert said.code == 1 and said.stderr
