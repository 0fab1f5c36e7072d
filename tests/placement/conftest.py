"""Two machines for all tests of a module; skipped where there is no sshd to make one of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.placement.machines import Pair, pair


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The two machines."""
    if (
        os.geteuid()
        or not shutil.which("sshd")
        or not Path("/etc/ssh/ssh_config").exists()
    ):
        pytest.skip("needs root, and sshd (apt-get install openssh-server)")
    with pair(tmp_path_factory.mktemp("ssh")) as both:
        yield both


@pytest.fixture(autouse=True)
def nothing_left(machines: Pair) -> Iterator[None]:
    """After each test neither machine has a run, or a process of Open vSwitch's."""
    yield
    assert machines.here.runs() == machines.there.runs() == []
