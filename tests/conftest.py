"""What every test is given: the e2e mark, the check of what a test needs, and a place for caches.

A test in `tests/e2e` needs root and the testbed's programs, and one marked
`@pytest.mark.requires("qemu-system-x86_64")` that program too. Where something is missing the test
is skipped and says what; where CI is set it fails instead, since there nothing may be missing.

`--datapath` chooses Open vSwitch's datapath for all networks of a test run, those that a test
starts as a process of its own included. One that can only run on one of them says so, and why:
`@pytest.mark.datapath("user", reason="...")`. On the other nothing is missing, so it is left out,
even in CI.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from topologies import requirements
from topologies.options import DATAPATH_VARIABLE, Datapath

LEFT_OUT = pytest.StashKey[list[str]]()
TESTS = Path(__file__).resolve().parent
E2E = TESTS / "e2e"
E2E_PROGRAMS = (
    "conntrack",
    "ethtool",
    "ip",
    "mnexec",
    "ovs-vsctl",
    "ovs-vswitchd",
    "ovsdb-server",
    "tc",
    "tcpdump",
)

# Debian keeps root's programs here, and a container's PATH may not.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def in_ci() -> bool:
    """Whether this is a machine on which nothing may be missing."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what chooses the datapath."""
    about = "Open vSwitch's datapath in e2e tests (default: as the topologies' own)"
    kinds = [kind.value for kind in Datapath]
    parser.addoption("--datapath", choices=kinds, help=about)


def pytest_report_header(config: pytest.Config) -> str:
    """Say on what the networks run."""
    return f"datapath: {requirements.decided(Datapath.DEFAULT).value}"


def pytest_configure(config: pytest.Config) -> None:
    """No deadline: a busy machine must not fail a property. In CI, the same examples each time."""
    config.stash[LEFT_OUT] = []
    if chosen := config.getoption("datapath"):
        os.environ[DATAPATH_VARIABLE] = chosen
    set_hypothesis_home_dir(TESTS.parent / ".cache" / "hypothesis")
    hypothesis.settings.register_profile("default", deadline=None)
    hypothesis.settings.register_profile(
        "ci", deadline=None, derandomize=True, database=None
    )
    hypothesis.settings.load_profile("ci" if in_ci() else "default")


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """What is in tests/e2e is an e2e test; those of the other datapath are left out."""
    for item in items:
        if E2E in item.path.parents:
            item.add_marker("e2e")
    marked = [item for item in items if item.get_closest_marker("datapath")]
    used = requirements.decided(Datapath.DEFAULT)
    for item in marked:
        marker = next(item.iter_markers("datapath"))
        if marker.args != (used.value,):
            why = f"on the {marker.args[0]} datapath only: {marker.kwargs['reason']}"
            config.stash[LEFT_OUT].append(f"{item.nodeid}: {why}")
            config.hook.pytest_deselected(items=[item])
            items.remove(item)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which tests the datapath has left out, and why."""
    for line in config.stash[LEFT_OUT]:
        terminalreporter.write_line(f"LEFT OUT {line}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that cannot run here, with the reason; in CI, fail it."""
    reason = "; ".join(missing_for(item))
    if not reason:
        return
    if in_ci():
        pytest.fail(f"cannot run in CI: {reason}", pytrace=False)
    pytest.skip(reason)


def missing_for(item: pytest.Item) -> Iterator[str]:
    """Each thing that a test needs and this machine does not give."""
    programs: list[str] = []
    if item.get_closest_marker("e2e"):
        programs.extend(E2E_PROGRAMS)
        if os.geteuid() != 0:
            yield "needs root (sudo make test)"
    for marker in item.iter_markers("requires"):
        programs.extend(marker.args)
    absent = sorted({program for program in programs if shutil.which(program) is None})
    if absent:
        yield f"not installed: {', '.join(absent)}"
