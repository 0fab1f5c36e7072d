"""Our answers beside those of the system's tc, for the same filters."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offload.tc import FilterShow, Options, Shown, answer_show

from . import netlink, values

TC = shutil.which("tc")
pytestmark = pytest.mark.skipif(TC is None, reason="no tc (iproute2) here")


def printed_by_tc(entries: list[Shown], directory: Path, *options: str) -> str:
    """What the system's tc prints of a dump of ``entries``."""
    file = directory / "dump"
    file.write_bytes(netlink.dump(entries))
    argv = [str(TC), *options, "monitor", "file", str(file)]
    run = subprocess.run(argv, capture_output=True, text=True, check=True)
    return run.stdout


@given(entry=values.shown(), statistics=st.booleans())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_prints_what_tc_prints(tmp_path: Path, entry: Shown, statistics: bool) -> None:
    ours = answer_show(
        FilterShow("lo", entry.hook, options=Options(statistics=statistics)), [entry]
    )
    options = ["-s"] if statistics else []
    theirs = printed_by_tc([entry], tmp_path, *options)
    # A monitor is not told the device and the hook, so it prints them.
    place = f"filter dev lo {entry.hook.name.lower()} "
    assert ours.splitlines() == theirs.replace(place, "filter ").splitlines()
