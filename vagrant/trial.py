"""An unattended run: VMs from their box to their end, and what the testbed did in them.

    one VM     up -> for each datapath: demo, the core of the end-to-end tests -> destroy
    two VMs    up -> the demo, a hypervisor in each VM -> destroy

A step that fails is told, and the next is done. What the guest wrote (the demo's JSON,
pytest's JUnit) is in the directory of results afterwards, with all output in logs.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vagrant import steps
from vagrant.errors import StepFailed, VagrantError
from vagrant.guest import Guest
from vagrant.host import has_kvm
from vagrant.room import Room

# The kernel's first: it is what the VM is for.
DATAPATHS = ("kernel", "user")
CORE = "vagrant/core.txt"
"""Of tests/e2e, one of each: the cover letter, NAT, aging, teardown, deletion."""

_UP_S = 900.0
_DEMO_S = 900.0
_CORE_S = 1800.0
_DOWN_S = 180.0
# How much longer deadlines in the VM are where its processor is emulated.
_EMULATED_PATIENCE = 10
# A UDP flow is to age out in the silence that the demo keeps, not between two packets.
_UDP_TIMEOUT_S = 15
_HERE = Path(__file__).resolve().parent
_PYTHON = ".venv/bin/python"
_REPORT = "/tmp/report"


class Over(Exception):
    """The run cannot go on; why has been told."""


@dataclass(slots=True)
class Trial:
    """One run: where it leaves things, and what came of its steps."""

    room: Room
    results: Path
    settings: Mapping[str, str]
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, needed: bool = False) -> Iterator[None]:
        """Tell a step's beginning and end; without one that is needed the run is over."""
        steps.say(name)
        began_s = time.monotonic()
        try:
            yield
        except VagrantError as error:
            self.failures.append(f"{name}: {error}")
            steps.complain(f"FAILED: {self.failures[-1]}")
            if needed:
                raise Over from None
        else:
            steps.say(f"  ok in {time.monotonic() - began_s:.0f} s")

    def vagrant(self, directory: Path, *words: str, timeout_s: float) -> None:
        """Run Vagrant where a Vagrantfile is."""
        argv = self.room.entering(["vagrant", "--no-tty", *words], cwd=directory)
        environment = self.room.environment(self.settings)
        steps.run(argv, self.results / "vagrant.log", timeout_s, environment)

    def on(self, guest: Guest, name: str, argv: Sequence[str], timeout_s: float) -> str:
        """Run in a VM what writes a report; bring that back, and return its path."""
        failed: StepFailed | None = None
        try:
            guest.run(argv, self.results / f"{name}.log", timeout_s)
        except StepFailed as failure:
            failed = failure
        report = self.results / name
        guest.fetch(_REPORT, report)
        if failed:
            raise failed
        return str(report)


def one_vm(trial: Trial, quick: bool = False) -> None:
    """Run the demo in a VM and, unless quick, the end-to-end tests' core, on each datapath."""
    with _up(trial, _HERE, ["testbed"]) as (vm,):
        for datapath in DATAPATHS:
            _demo(trial, vm, datapath)
            if not quick:
                _core(trial, vm, datapath)


def two_vms(trial: Trial) -> None:
    """Run the demo with a hypervisor in each of two VMs, whose kernels the driver cannot reach."""
    with _up(trial, _HERE / "two", ["hv1", "hv2"]) as (hv1, _hv2):
        places = ("--place hv1=%eth1", "--place hv2=root@192.168.57.12%eth1")
        _demo(trial, hv1, "user", *places)


def _demo(trial: Trial, vm: Guest, datapath: str, *options: str) -> None:
    arguments = " ".join(
        ["--plain", f"--json {_REPORT}", f"--udp-timeout {_UDP_TIMEOUT_S}", *options]
    )
    argv = [*_environment(datapath), "make", "demo", f"ARGS={arguments}"]
    with trial.step(f"demo, {datapath} datapath"):
        trial.on(vm, f"demo-{datapath}.json", argv, _DEMO_S)


def _core(trial: Trial, vm: Guest, datapath: str) -> None:
    options = ["--verbose", f"--timeout={_CORE_S:.0f}", f"--junit-xml={_REPORT}"]
    argv = [*_environment(datapath), _PYTHON, "-m", "pytest", f"@{CORE}", *options]
    with trial.step(f"end-to-end core, {datapath} datapath"):
        trial.on(vm, f"junit-{datapath}.xml", argv, _CORE_S)


def _environment(datapath: str) -> list[str]:
    patience = 1 if has_kvm() else _EMULATED_PATIENCE
    chosen = [f"CT_OFFLOAD_DATAPATH={datapath}", f"CT_OFFLOAD_PATIENCE={patience}"]
    return ["env", "CI=true", "PYTHONUNBUFFERED=1", *chosen]


@contextmanager
def _up(trial: Trial, directory: Path, names: Sequence[str]) -> Iterator[list[Guest]]:
    """Bring a Vagrantfile's VMs up, and destroy them after the block."""
    config = trial.room.directory / "ssh-config"
    with trial.step("vagrant up", needed=True):
        trial.vagrant(directory, "up", timeout_s=_UP_S)
        config.write_text(_ssh_config(trial, directory))
    yield [Guest(trial.room, name, config) for name in names]
    # If the block was left by an exception, the VMs end with the room.
    with trial.step("vagrant destroy"):
        trial.vagrant(directory, "destroy", "--force", timeout_s=_DOWN_S)


def _ssh_config(trial: Trial, directory: Path) -> str:
    done = subprocess.run(
        trial.room.entering(["vagrant", "--no-tty", "ssh-config"], cwd=directory),
        env=trial.room.environment(trial.settings),
        capture_output=True,
        text=True,
        timeout=_DOWN_S,
    )
    if done.returncode:
        raise StepFailed(f"vagrant ssh-config: {done.stderr.strip()}")
    return done.stdout
