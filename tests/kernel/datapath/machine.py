"""One command in a guest that has the host's root: its output is ours, and so is its exit code.

The guest ends when the command does, when this process does (setpriv --pdeathsig), and when it
panics or stays silent beyond its time.

Source: qemu(1); Documentation/admin-guide/sysrq.rst
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.datapath import image
from tests.kernel.oracle.build import QEMU, Built
from tests.kernel.oracle.errors import MachineDied
from tests.kernel.oracle.initramfs import ROOT
from tests.kernel.oracle.machine import APPEND, LOG_LINES

_EXIT_CODE, _REPORT = "exit-code", "junit.xml"
REPORT = f"{image.EXCHANGE}/{_REPORT}"
"""Where a command in the guest leaves a report for ``Result``."""
_END_S = 10.0
# A guest's own PID 1, which reaps what the command leaves; the console is the command's terminal.
_START = """
hostname kernel-datapath
ip link set lo up
rm -f @root@/.venv/lib/python3*/site-packages/no_bytecode.pth  # in memory it may, and is faster
cd @root@
@environment@ setsid -c -w @command@ </dev/hvc0 >/dev/hvc0 2>&1
echo $? >@exchange@/@code@
echo b >/proc/sysrq-trigger
"""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """How the guest's processor is made, and how much slower than ours that is about.

    Emulated, its clock counts instructions: with ours, the kernel's own timeouts (30 s for
    an unanswered UDP connection) would run out between two steps of a test.
    """

    options: tuple[str, ...]
    processors: int
    patience: float


ACCELERATORS = {
    "tcg": Accelerator(
        ("-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on"), 1, 20
    ),
    "kvm": Accelerator(("-accel", "kvm"), 2, 1),
}


@dataclass(frozen=True, slots=True)
class Guest:
    """The machine that a command is run in."""

    built: Built
    accelerator: Accelerator
    memory_mb: int

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        timeout_s: float | None = None,
        report: Path | None = None,
    ) -> int:
        """Run a command and return its exit code; its report is copied to ``report``.

        Raises MachineDied, with the end of the kernel's log, if the machine ended by itself or
        was not done in time.
        """
        with tempfile.TemporaryDirectory(prefix="kernel-datapath") as name:
            folder = Path(name)
            (folder / "initramfs").write_bytes(image.make(self.built))
            (folder / image.START).write_text(_start(command, environment))
            self._boot(folder, timeout_s)
            if report is not None and (folder / _REPORT).exists():
                shutil.copyfile(folder / _REPORT, report)
            return _exit_code(folder)

    def _boot(self, folder: Path, timeout_s: float | None) -> None:
        interactive = sys.stdin.isatty()
        process = subprocess.Popen(
            self._command(folder), stdin=None if interactive else subprocess.DEVNULL
        )
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            log = _log_end(folder)
            raise MachineDied(f"not done in {timeout_s:.0f} s\n{log}") from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait(_END_S)

    def _command(self, folder: Path) -> list[str]:
        accelerator = self.accelerator
        return [
            *("setpriv", "--pdeathsig", "KILL", "--", QEMU),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-machine", "pc,usb=off,vmport=off", "-cpu", "max"),
            *("-m", str(self.memory_mb), "-smp", str(accelerator.processors)),
            *accelerator.options,
            *("-kernel", str(self.built.vmlinux)),
            *("-initrd", str(folder / "initramfs"), "-append", " ".join(APPEND)),
            *("-serial", f"file:{folder / 'kernel.log'}"),
            *("-device", "virtio-serial-pci", "-device", "virtconsole,chardev=out"),
            *("-chardev", "stdio,id=out,signal=off"),
            *_shared(image.HOST_TAG, Path("/"), "readonly=on,multidevs=remap"),
            *_shared(image.EXCHANGE_TAG, folder, "multidevs=remap"),
        ]


def _shared(tag: str, folder: Path, options: str) -> tuple[str, ...]:
    files = f"local,id={tag},path={folder},security_model=none,{options}"
    return "-fsdev", files, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"


def _start(command: Sequence[str], environment: Mapping[str, str]) -> str:
    words = [f"{name}={value}" for name, value in environment.items()]
    places = {
        "root": shlex.quote(str(ROOT)),
        "environment": shlex.join(["env", "-i", *words]),
        "command": shlex.join(command),
        "exchange": image.EXCHANGE,
        "code": _EXIT_CODE,
    }
    text = f"export PATH={shlex.quote(environment['PATH'])}\n{_START}"
    for name, value in places.items():
        text = text.replace(f"@{name}@", value)
    return text


def _exit_code(folder: Path) -> int:
    try:
        return int((folder / _EXIT_CODE).read_text())
    except (FileNotFoundError, ValueError):
        raise MachineDied(
            f"the virtual machine ended by itself\n{_log_end(folder)}"
        ) from None


def _log_end(folder: Path) -> str:
    with suppress(FileNotFoundError):
        log = (folder / "kernel.log").read_text("utf-8", "replace")
        return "\n".join(log.splitlines()[-LOG_LINES:])
    return ""
