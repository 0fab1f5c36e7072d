"""running(): ready when it returns, gone without a trace however it ends."""

from __future__ import annotations

import gc
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import topologies
from tests.e2e.background_run import background_run
from tests.e2e.command_line import FINE, typed
from tests.e2e.leftovers import (
    belonging,
    marked,
    nothing_left,
    processes,
    run_root,
    sleepers,
)
from tests.e2e.state import status, until
from topologies.placement import Placement
from topologies.two_hypervisors import TwoHypervisors

PING = "ping -c 1 -W 10"


@pytest.fixture
def root() -> Iterator[Path]:
    with run_root() as path:
        yield path


def descriptors() -> int:
    """How many this process has open, not counting what only waits for the collector."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


class Oops(Exception):
    """Something a test did wrong."""


def test_ready_on_return_and_nothing_left(root: Path) -> None:
    with nothing_left(root):
        with topologies.running(TwoHypervisors(), run_dir_root=root) as net:
            # Not one packet is lost: ARP and the connection's first, through the tunnel.
            assert typed(net["vm1"], f"{PING} 10.0.0.3").code == 0
            assert typed(net["vm4"], f"{PING} -6 fd00::2").code == 0
            assert typed(net["vm3"], f"{PING} vm4").code != 0, "there is no DNS"
            for name in ("hv1", "hv2"):
                said = status(net, name)
                shown = typed(net[name], "tc filter show dev ens1f0_0 ingress").stdout
                assert said["connected"] and said["failures"] == {}
                assert said["filters"] > said["filters_in_hw"] > 0
                for entry in shown.split("\nfilter ")[1:]:
                    if "\n  eth_type" in entry:
                        in_hw = "ct_state" not in entry or not _software_only(entry)
                        assert ("  in_hw " in entry) is in_hw, entry
            assert len(processes(root)) > 10 and belonging(root)


def _software_only(entry: str) -> bool:
    """mlx5 takes no +new and no rel."""
    return "+trk+new" in entry or "+rel" in entry


def test_nothing_left_after_an_exception(root: Path) -> None:
    """Not even of processes that have lost their environment, or their parent."""
    token = f"1000.{secrets.randbits(32)}"
    with nothing_left(root), pytest.raises(Oops):
        with topologies.running(TwoHypervisors(), run_dir_root=root) as net:
            net["vm1"].sendCmd(f"sleep {token}")
            net["vm2"].popen(["setsid", "--fork", "sleep", token])
            net["hv1"].popen(["env", "-i", "sleep", token])
            net["vm3"].popen(["setsid", "--fork", "env", "-i", "sleep", token])
            until(lambda: len(sleepers(token)) >= 4, "four that sleep")
            raise Oops
    assert not sleepers(token)


def test_nothing_left_of_a_start_that_fails(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topologies.driver.Driver.module", "no_such_module")
    with nothing_left(root), pytest.raises(topologies.TopologyError) as failure:
        with topologies.running(TwoHypervisors(), run_dir_root=root):
            pass
    assert "\n" not in str(failure.value) and "no_such_module" in str(failure.value)


def test_nothing_left_of_filters_that_tc_refuses(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.tc"
    file.write_text("filter add dev ens1f0_0 ingress prio 1 proto ip flower bogus\n")

    class Bad(TwoHypervisors):
        def build(self, placement: Placement | None = None) -> None:
            super().build(placement)
            self.nodeInfo("hv2")["filters"] = file

    with nothing_left(root), pytest.raises(topologies.TopologyError) as failure:
        with topologies.running(Bad(), run_dir_root=root):
            pass
    assert "hv2" in str(failure.value) and 'What is "bogus"?' in str(failure.value)


def test_nothing_left_when_half_of_it_died(root: Path) -> None:
    with nothing_left(root):
        with topologies.running(TwoHypervisors(), run_dir_root=root) as net:
            os.kill(net["hv1"].ovs.pid, signal.SIGKILL)
            os.kill(net.controllers[0].process.pid, signal.SIGKILL)
            os.kill(net["vm1"].shell.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, -signal.SIGINT),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGHUP, 128 + signal.SIGHUP),
    ],
)
def test_nothing_left_after_a_signal(
    root: Path, number: signal.Signals, code: int
) -> None:
    with nothing_left(root), background_run(root) as run:
        run_id = run.wait_until_ready()
        assert marked(run_id)
        assert run.end(number) == code
        assert not marked(run_id)


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "a directory": lambda root: bool(list(root.glob("*"))),
    "a hypervisor": lambda root: bool(list(root.glob("*/hv2"))),
    "a database": lambda root: bool(list(root.glob("*/hv1/db.sock"))),
    "the controller": lambda root: bool(list(root.glob("*/control.sock"))),
    "the shims": lambda root: bool(list(root.glob("*/hv1/bin/tc"))),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_nothing_left_of_a_start_that_is_interrupted(
    root: Path, moment: Callable[[Path], bool]
) -> None:
    with nothing_left(root), background_run(root) as run:
        until(lambda: moment(root), "the moment to interrupt")
        assert run.end(signal.SIGINT) == -signal.SIGINT


def test_impatience_does_not_stop_the_end(root: Path) -> None:
    """Ctrl-C again and again, while it is going down already."""
    with nothing_left(root), background_run(root) as run:
        run.wait_until_ready()

        def ended() -> bool:
            run.process.send_signal(signal.SIGINT)
            return run.process.poll() is not None

        until(ended, "the end")


def test_killed_and_cleaned_up_by_the_next(root: Path) -> None:
    """Of three runs one is killed: the next start ends it, and the living stay."""
    with nothing_left(root), background_run(root) as killed:
        dead = killed.wait_until_ready()
        with topologies.running(TwoHypervisors(), run_dir_root=root) as living:
            killed.end(signal.SIGKILL)
            left, neighbours = marked(dead), marked(living.run_.id)
            assert left and (root / dead).exists()
            foreign = root / "mine"
            foreign.mkdir()
            with topologies.running(TwoHypervisors(), run_dir_root=root) as net:
                assert not marked(dead) and not (root / dead).exists()
                assert marked(living.run_.id) == neighbours
                for each in (net, living):
                    assert typed(each["vm1"], f"{PING} 10.0.0.3").code == 0
            foreign.rmdir()


def test_killed_at_any_moment(root: Path) -> None:
    """Each start cleans up after the one before, until it is killed itself."""
    for moment in MOMENTS.values():
        with background_run(root) as run:
            until(partial(new, root, moment), "the moment to kill")
            run.end(signal.SIGKILL)
    assert belonging(root)
    with topologies.running(TwoHypervisors(), run_dir_root=root) as net:
        assert [path.name for path in root.iterdir()] == [net.run_.id]
    assert not belonging(root)


def new(root: Path, moment: Callable[[Path], bool]) -> bool:
    """Has the moment come for a run that is alone, so not a dead one's leftover?"""
    return len(list(root.glob("*"))) == 1 and moment(root)


def test_two_runs_do_not_meet(root: Path) -> None:
    with nothing_left(root):
        with (
            topologies.running(TwoHypervisors(), run_dir_root=root) as one,
            topologies.running(TwoHypervisors(), run_dir_root=root) as two,
        ):
            add = (
                "tc filter add dev ens1f0_0 ingress prio 1 proto ip flower action drop"
            )
            assert typed(one["hv1"], add) == FINE
            assert (
                typed(one["vm1"], f"{PING} 10.0.0.3".replace("10 ", "1 ", 1)).code == 1
            )
            assert typed(two["vm1"], f"{PING} 10.0.0.3").code == 0
            assert status(one, "hv1")["filters"] == status(two, "hv1")["filters"] + 1
            assert typed(one["hv1"], "conntrack -C").stdout == "0\n"
            assert typed(two["hv1"], "conntrack -C").stdout == "1\n"
            assert not marked(one.run_.id) & marked(two.run_.id)


def test_again_in_one_process(root: Path) -> None:
    with nothing_left(root):
        for _each in range(2):
            before = descriptors()
            with topologies.running(TwoHypervisors(), run_dir_root=root) as net:
                assert typed(net["vm2"], f"{PING} 10.0.0.4").code == 0
            assert descriptors() == before
