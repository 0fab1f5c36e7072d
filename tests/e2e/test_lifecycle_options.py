"""Links with limits, and what a machine does not have: one clear line for each."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import topologies
from tests.e2e.background_run import ROOT
from tests.e2e.leftovers import nothing_left, run_root
from tests.e2e.tcp_udp import connected, transfer
from topologies import requirements
from topologies.options import Datapath, Options
from topologies.testbed import Testbed
from topologies.two_hypervisors import TwoHypervisors
from topologies.waiting import PATIENCE

SIZE = 2_000_000
LIMIT_MBPS = 20


def test_bandwidth_is_a_limit(fresh_net: Callable[..., Testbed]) -> None:
    """No faster than the limit (but for a burst), and slower than without it."""
    limited = seconds_to_transfer(fresh_net(bandwidth_mbps=LIMIT_MBPS))
    assert limited > 0.8 * SIZE * 8 / (LIMIT_MBPS * 1e6)
    assert limited > 2 * seconds_to_transfer(fresh_net())


def seconds_to_transfer(net: Testbed) -> float:
    with connected(net["vm1"], net["vm3"], "10.0.0.3") as (near, far):
        began_s = time.monotonic()
        data = bytes(SIZE)
        assert transfer(near, far, data) == data
        return time.monotonic() - began_s


def lacks(options: Options) -> bool:
    try:
        requirements.check(options)
    except topologies.TopologyError:
        return True
    return False


def prompt(
    *words: str, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """The prompt with options, and nobody typing."""
    return subprocess.run(
        [*before, sys.executable, "-m", "topologies.two_hypervisors", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60 * PATIENCE,
    )


@pytest.mark.parametrize(
    ("options", "words", "names"),
    [
        (Options(delay_ms=5), ("--delay", "5"), "netem"),
        (Options(datapath=Datapath.KERNEL), ("--datapath", "kernel"), "openvswitch"),
    ],
)
def test_what_the_kernel_does_not_have(
    options: Options, words: tuple[str, ...], names: str
) -> None:
    """One line that names it; where the kernel has it, the network must work."""
    with run_root() as root, nothing_left(root):
        done = prompt(*words, "--run-dir-root", str(root))
    if lacks(options):
        assert done.returncode == 1
        assert names in one_line(done)
    else:
        assert done.returncode == 0, done.stderr


def test_it_takes_root(tmp_path: Path) -> None:
    nobody = (
        "setpriv",
        *("--reuid=65534", "--regid=65534", "--clear-groups"),
        # The tree may be where only root can read.
        *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
    )
    done = prompt(before=nobody)
    assert done.returncode == 1
    assert "must be root" in one_line(done)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--bandwidth", "5000"), "bandwidth_mbps"),
        (("--udp-timeout", "0"), "udp_timeout_s"),
        (("--run-dir-root", "/tmp/" + 60 * "x"), "too long"),
        (("--run-dir-root", "/dev/null/runs"), "/dev/null/runs"),
        (("--run-dir-root", "/proc/nowhere"), "/proc/nowhere"),
    ],
)
def test_options_of_nonsense(words: tuple[str, ...], names: str) -> None:
    done = prompt(*words)
    assert done.returncode != 0
    assert names in one_line(done)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What it said, if that is one line."""
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("module", ["topologies.two_hypervisors", "controller", "demo"])
def test_help(module: str) -> None:
    """It says what there is, without doing anything."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100 * PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.lower().startswith("usage: ") and "--help" in done.stdout


def test_hardware_can_be_off_from_the_start(fresh_net: Callable[..., Testbed]) -> None:
    net = fresh_net(hw_tc_offload=False)
    shown = net["hv1"].cmd("tc filter show dev ens1f0_0 ingress")
    assert "not_in_hw" in shown and " in_hw" not in shown
    with connected(net["vm1"], net["vm3"], "10.0.0.3") as (near, far):
        assert transfer(near, far, b"x" * 100_000) == b"x" * 100_000


def test_filters_can_be_left_out(fresh_net: Callable[..., Testbed]) -> None:
    net = fresh_net(filters=False)
    assert net["hv1"].cmd("tc filter show dev ens1f0_0 ingress") == ""


def test_logs_are_kept(tmp_path: Path) -> None:
    with topologies.running(TwoHypervisors(), keep_logs=tmp_path) as net:
        run_id = net.run_.id
    kept = {
        str(path.relative_to(tmp_path / run_id)) for path in tmp_path.rglob("*.log")
    }
    assert {"controller.log", "hv1/ovs-vswitchd.log", "hv2/ovsdb-server.log"} <= kept
    assert "Traceback" not in (tmp_path / run_id / "controller.log").read_text()
