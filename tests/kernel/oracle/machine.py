"""One run of QEMU: booted, or restored from the memory of one that had just booted.

Both of its channels are socket pairs: no path to clean up, and the other end ends with QEMU. QEMU
ends with this process, however that ends (setpriv --pdeathsig).

Source: qemu(1), docs/interop/qmp-spec.txt
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kernel.oracle.build import QEMU, Built
from tests.kernel.oracle.channel import Channel
from tests.kernel.oracle.errors import MachineDied

BOOT_TIMEOUT_S = 180.0
RESTORE_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 30.0
END_TIMEOUT_S = 10.0
MEMORY_MB = 256
LOG_LINES = 50
APPEND = (
    *("console=ttyS0", "loglevel=5", "panic=-1", "oops=panic", "nokaslr"),
    *("mitigations=off", "random.trust_cpu=on", "no_timer_check", "tsc=reliable"),
    *("rdinit=/init"),
)


# One CPU: with two, a case takes twice as long (RCU waits for the other), and less is repeatable.
@dataclass(frozen=True, slots=True)
class Clock:
    """How time passes in the guest; with `leap`, a wait takes no time at all."""

    name: str
    options: tuple[str, ...]


REAL_CLOCK = Clock("real", ("-accel", "tcg,thread=multi"))
LEAPING_CLOCK = Clock(
    "leaping", ("-accel", "tcg,thread=single", "-icount", "shift=1,sleep=off")
)


@dataclass(slots=True)
class Machine:
    """A running virtual machine. `restored`: it did not boot, it was woken."""

    restored: bool
    _process: subprocess.Popen[bytes]
    _guest: Channel
    _monitor: Channel
    _log: Path
    _cleanup: ExitStack

    @classmethod
    def start(cls, built: Built, clock: Clock = REAL_CLOCK) -> Machine:
        """Wake the machine, or boot it and keep its memory for the next time."""
        memory = built.folder / f"{clock.name}.ram"
        if memory.exists():
            try:
                return cls._started(built, clock, memory)
            except MachineDied:
                memory.unlink(missing_ok=True)
        machine = cls._started(built, clock, None)
        try:
            machine._keep(memory)
        except MachineDied:
            machine.stop()
            raise
        return machine

    def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send the guest a request and return its answer; raise MachineDied with the log's end."""
        try:
            self._guest.send(request)
            return self._guest.receive(timeout_s)
        except MachineDied as error:
            raise MachineDied(f"{error}\n{self.log_end()}".rstrip()) from error

    def log_end(self) -> str:
        """Return the last lines of the guest's console."""
        text = self._log.read_text("utf-8", "replace")
        return "\n".join(text.splitlines()[-LOG_LINES:])

    def stop(self) -> None:
        """End it, and only it."""
        self._cleanup.close()

    @classmethod
    def _started(cls, built: Built, clock: Clock, memory: Path | None) -> Machine:
        with ExitStack() as cleanup:
            folder = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="oracle"))
            guest, guest_far = socket.socketpair()
            monitor, monitor_far = socket.socketpair()
            fars = (guest_far, monitor_far)
            for end in (guest, monitor, *fars):
                cleanup.callback(end.close)
            log = Path(folder) / "console.log"
            command = _command(built, clock, memory, log, fars)
            process = _spawn(command, fars, Path(folder) / "qemu.log")
            cleanup.callback(_end, process)
            for end in fars:
                end.close()
            machine = cls(
                memory is not None,
                process,
                Channel(guest),
                Channel(monitor),
                log,
                cleanup,
            )
            machine._greet(Path(folder) / "qemu.log")
            machine._cleanup = cleanup.pop_all()
        return machine

    def _greet(self, qemu_log: Path) -> None:
        """Wait until QEMU and the guest answer."""
        try:
            self._monitor.receive(ANSWER_TIMEOUT_S)
            self._command("qmp_capabilities")
        except MachineDied as error:
            raise MachineDied(f"QEMU: {qemu_log.read_text()}") from error
        timeout_s = RESTORE_TIMEOUT_S if self.restored else BOOT_TIMEOUT_S
        self.ask({"op": "ping"}, timeout_s)

    def _command(self, name: str, **arguments: Any) -> Any:
        """Give QEMU a command and return what it returns, passing over its events."""
        self._monitor.send({"execute": name, "arguments": arguments})
        while True:
            message = self._monitor.receive(ANSWER_TIMEOUT_S)
            if "error" in message:
                raise MachineDied(f"QEMU: {name}: {message['error']['desc']}")
            if "return" in message:
                return message["return"]

    def _keep(self, memory: Path) -> None:
        """Write the guest's memory to a file; the guest then goes on."""
        partial = memory.with_suffix(f".{self._process.pid}.part")
        self._command("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self._command("migrate", uri=f"exec:cat > '{partial}'")
        deadline = time.monotonic() + RESTORE_TIMEOUT_S
        while (status := self._command("query-migrate").get("status")) != "completed":
            if status in ("failed", "cancelled") or time.monotonic() > deadline:
                partial.unlink(missing_ok=True)
                raise MachineDied(f"QEMU: its memory could not be kept: {status}")
            time.sleep(0.02)
        self._command("cont")
        partial.rename(memory)


def _command(
    built: Built,
    clock: Clock,
    memory: Path | None,
    log: Path,
    channels: tuple[socket.socket, socket.socket],
) -> list[str]:
    guest, monitor = (end.fileno() for end in channels)
    command = [
        *("setpriv", "--pdeathsig", "KILL", "--", QEMU),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "pc,usb=off,vmport=off", "-cpu", "max"),
        *("-m", str(MEMORY_MB), *clock.options),
        *("-kernel", str(built.vmlinux), "-initrd", str(built.initramfs)),
        *("-append", " ".join(APPEND)),
        *("-chardev", f"file,id=console,path={log}", "-serial", "chardev:console"),
        *("-device", "virtio-serial-pci", "-chardev", f"socket,id=guest,fd={guest}"),
        *("-device", "virtserialport,chardev=guest,name=guest"),
        *("-chardev", f"socket,id=monitor,fd={monitor}"),
        *("-mon", "chardev=monitor,mode=control"),
    ]
    if memory is not None:
        command += ["-incoming", f"exec:cat '{memory}'"]
    return command


def _spawn(
    command: list[str], channels: tuple[socket.socket, socket.socket], log: Path
) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[end.fileno() for end in channels],
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(END_TIMEOUT_S)
