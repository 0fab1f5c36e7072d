"""A hypervisor on another machine, over SSH: the same network, the same checks, nothing left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.placement.machines import THERE, Pair
from topologies.waiting import wait_until

PLACES = ("--place", "hv1=%eth1", "--place", f"hv2=root@{THERE}%eth1")
NETWORK = (sys.executable, "-m", "topologies.two_hypervisors")
SPREAD = (sys.executable, "-m", "tests.placement.spread", *PLACES)


def told(machines: Pair, **commands: str) -> dict[str, str]:
    """Run commands on the nodes of a spread network, and return what each has printed."""
    argv = [*SPREAD, "commands", json.dumps(commands)]
    done = machines.here.run(*argv, timeout_s=100)
    assert done.returncode == 0, done.stderr
    answers: dict[str, str] = json.loads(done.stdout)
    return {node: answer.replace("\r", "").strip() for node, answer in answers.items()}


@pytest.mark.timeout(400)
def test_the_cover_letter(machines: Pair, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    words = ["-m", "demo", "--plain", "--json", str(file), *PLACES]
    done = machines.here.run(sys.executable, *words, timeout_s=360)
    report = json.loads(file.read_text())
    assert done.returncode == 0, report["error"] or done.stdout
    assert report["ok"] and len(report["checks"]) > 30


def test_tunnelled_packets_pass_between_the_machines(machines: Pair) -> None:
    capture = ["tcpdump", "-n", "-i", "eth1", "-c", "4", "udp", "port", "4789"]
    with subprocess.Popen(
        machines.there.entering(capture),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as tcpdump:
        try:
            assert "2 received" in told(machines, vm1="ping -c 2 10.0.0.3")["vm1"]
            seen, _ = tcpdump.communicate(timeout=20)
        finally:
            tcpdump.kill()
    assert "7.7.7.7" in seen and "vni 98" in seen


def test_each_node_is_where_it_was_placed(machines: Pair) -> None:
    nodes = ("hv1", "vm2", "hv2", "vm4")
    seen = told(machines, **dict.fromkeys(nodes, "cat /run/name"))
    assert seen == {"hv1": "here", "vm2": "here", "hv2": "there", "vm4": "there"}


def test_tc_and_conntrack_over_there_are_the_testbeds(machines: Pair) -> None:
    shown = told(machines, hv2="tc filter show dev ens1f0_0 ingress; conntrack -C")
    assert "in_hw in_hw_count 1" in shown["hv2"]
    assert shown["hv2"].splitlines()[-1].isdigit()


def test_what_is_started_ends_when_its_popen_does(machines: Pair) -> None:
    done = machines.here.run(*SPREAD, "ending", timeout_s=100)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (("hv1=%eth1", "hv2=root@192.168.57.13%eth1"), "192.168.57.13: "),
        (("hv1=%eth1", f"hv2=root@{THERE}%eth7"), "hv2: ip link add link eth7 "),
        (("hv1=%eth7", f"hv2=root@{THERE}%eth1"), "hv1: ip link add link eth7 "),
        (("hv1=%eth1",), "hv2 has no place"),
    ],
)
def test_bad_places_are_told_in_a_line(
    places: tuple[str, ...], said: str, machines: Pair
) -> None:
    words = [word for place in places for word in ("--place", place)]
    done = machines.here.run(*NETWORK, *words)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "resource limits" not in line]
    assert len(lines) == 1 and said in lines[0]


def test_the_kernel_datapath_is_refused(machines: Pair) -> None:
    done = machines.here.run(*NETWORK, *PLACES, "--datapath", "kernel")
    assert done.returncode == 1 and "need --datapath user" in done.stderr


def test_a_network_that_is_killed_leaves_nothing_there(machines: Pair) -> None:
    with subprocess.Popen(
        machines.here.entering([*NETWORK, *PLACES]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as network:
        assert network.stdout
        assert any("Filters are loaded" in line for line in network.stdout)
        assert len(machines.there.runs()) == 1
        network.send_signal(signal.SIGKILL)
        wait_until(lambda: not machines.there.runs(), 30, "the end of the run there")
    # Here the next start finds it, as ever.
    told(machines)
