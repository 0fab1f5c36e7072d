"""The network from a terminal: the script's prompt, and Mininet's mn."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.background_run import ROOT
from tests.e2e.leftovers import nothing_left, run_root
from tests.e2e.terminal import Terminal, terminal
from topologies.waiting import PATIENCE

PROMPT = "mininet> "
CTRL_C, CTRL_D = "\x03", "\x04"
SCRIPT = (sys.executable, "-m", "topologies.two_hypervisors", "--run-dir-root")
COVER_LETTER = (
    """filter add dev ens1f0_0 ingress prio 1 chain 0 proto ip flower
    src_mac 24:8a:07:a5:28:01 ct_state -trk action ct pipe action goto chain 2""",
    """filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower
    ct_state +trk+new action ct commit pipe action tunnel_key set src_ip 0.0.0.0
    dst_ip 7.7.7.8 id 98 dst_port 4789 action mirred egress redirect dev vxlan0""",
    """filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower
    ct_state +trk+est action tunnel_key set src_ip 0.0.0.0
    dst_ip 7.7.7.8 id 98 dst_port 4789 action mirred egress redirect dev vxlan0""",
)


@pytest.fixture
def root() -> Iterator[Path]:
    with run_root() as path, nothing_left(path):
        yield path


@pytest.fixture
def prompt(root: Path) -> Iterator[Terminal]:
    with terminal([*SCRIPT, str(root)]) as shown:
        shown.read_until(PROMPT)
        yield shown


def test_what_a_new_user_types(prompt: Terminal) -> None:
    for command in COVER_LETTER:
        assert prompt.type(f"hv1 tc {' '.join(command.split())}") == ""
    assert "1 received" in prompt.type("vm1 ping -c 1 vm3")
    assert "0 received" in prompt.type("vm1 ping -c 1 -W 0.2 vm2")
    shown = prompt.type("hv1 tc -s filter show dev ens1f0_0 ingress prio 1")
    assert "ct commit" in shown and "not_in_hw" in shown and "\n  in_hw" in shown
    assert prompt.type("hv1 tc filter del dev ens1f0_0 ingress prio 1 chain 2") == ""
    assert prompt.type("hv1 tc filter del dev ens1f0_0 ingress prio 1") == ""
    assert "1 received" in prompt.type("vm1 ping -c 1 vm2")
    assert "icmp" in prompt.type("hv1 conntrack -L | cat")
    prompt.press("exit\n")
    code, _ = prompt.rest()
    assert code == 0


def test_what_is_mistyped(prompt: Terminal) -> None:
    add = "hv1 tc filter add dev ens1f0_0 ingress prio 1 proto ip flower"
    for line, answer in (
        (f"{add} src_mca 24:8a:07:a5:28:01", 'What is "src_mca"?'),
        (f"{add} ct_state +trkk action drop", 'Illegal "ct_state"'),
        ("hv1 tc filter add dev ens1f0_9 ingress flower", "Cannot find device"),
        ("hv1 tc filter del dev ens1f0_0 ingress prio 7", "Error: Filter with"),
        ("hv1 tc fliter show", 'Object "fliter" is unknown'),
        ("hv1 conntrack -X", "conntrack v1.4"),
        ("hv9 tc filter show", "*** Unknown command: hv9 tc filter show"),
    ):
        assert answer in prompt.type(line), line
    assert "1 received" in prompt.type("vm1 ping -c 1 vm3")
    prompt.press(CTRL_D)
    code, _ = prompt.rest()
    assert code == 0


def test_ctrl_c_ends_a_command_and_not_the_network(prompt: Terminal) -> None:
    prompt.press("vm1 ping vm3\n")
    prompt.read_until("icmp_seq=2")
    prompt.press(CTRL_C)
    assert "packets transmitted" in prompt.read_until(PROMPT)
    assert "1 received" in prompt.type("vm1 ping -c 1 vm3")


def test_the_terminal_goes_away(root: Path) -> None:
    """Nothing is left, as after exit: ``nothing_left`` is in the fixture."""
    with terminal([*SCRIPT, str(root)]) as shown:
        shown.read_until(PROMPT)


def test_commands_from_a_pipe(root: Path) -> None:
    done = subprocess.run(
        [*SCRIPT, str(root)],
        input="vm1 ping -c 1 vm3\npingall\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    # Mininet has it all on stderr.
    assert "1 received" in done.stdout + done.stderr
    assert "0% dropped (12/12 received)" in done.stdout + done.stderr


@pytest.mark.parametrize("place", [ROOT, Path("/")])
def test_mn(root: Path, place: Path) -> None:
    mn = shutil.which("mn")
    assert mn
    custom = ROOT / "topologies" / "two_hypervisors.py"
    controller = f"ct_offload,run_dir_root={root}"
    words = ["--custom", str(custom), "--topo", "two_hypervisors"]
    words += ["--controller", controller, "--test", "pingall"]
    done = subprocess.run(
        [sys.executable, mn, *words],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=100 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "0% dropped (12/12 received)" in done.stdout + done.stderr


def test_mn_without_its_controller(root: Path) -> None:
    mn = shutil.which("mn")
    assert mn
    custom = ROOT / "topologies" / "two_hypervisors.py"
    words = ["--custom", str(custom), "--topo", "two_hypervisors", "--test", "none"]
    done = subprocess.run(
        [sys.executable, mn, *words, "--controller", "none"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100 * PATIENCE,
    )
    assert done.returncode != 0
    assert "needs its controller" in done.stdout + done.stderr
