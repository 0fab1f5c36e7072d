"""libvirt in namespaces of its own: nothing of it is in the machine's, and all ends at once.

    python3 -m vagrant.room DIRECTORY     is process 1 in there: mounts, daemons, then reaps

Here /etc, /var/lib, /var/log and /var/cache of libvirt are directories of the room, /run is
empty, and the network has a loopback device only, until libvirt adds its bridges. Whoever
made the room enters it (nsenter) to run Vagrant. A VM has no way to the world outside.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from vagrant import host
from vagrant.errors import VagrantError

_READY = "ready"
_SOCKET = Path("/run/libvirt/libvirt-sock")
_START_S = 60.0
_LIBVIRT = ("etc", "var/lib", "var/log", "var/cache")
# No mount namespace for QEMU (it fails with a device node that is bound over), no control
# groups (there is nobody to share with), and root, who may read the disks wherever they are.
_QEMU_CONF = """
namespaces = []
cgroup_controllers = []
security_driver = "none"
user = "root"
group = "root"
"""
_DAEMONS = (
    ("dbus-daemon", "--system", "--nofork", "--nopidfile"),
    ("virtlogd",),
    ("libvirtd",),
)
_PROJECT = Path(__file__).resolve().parent.parent
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Room:
    """A room that is up: runs commands in it."""

    def __init__(self, directory: Path, pid: int) -> None:
        self.directory = directory
        self._pid = pid

    def entering(self, argv: Sequence[str], cwd: Path = _PROJECT) -> list[str]:
        """Return the words that run a command in the room."""
        namespaces = ["--mount", "--net", "--pid", "--ipc"]
        return [
            "nsenter",
            f"--target={self._pid}",
            *namespaces,
            f"--wd={cwd}",
            "--",
            *argv,
        ]

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of Vagrant in the room: its home there, its user's settings."""
        return {
            **os.environ,
            "PATH": f"{os.environ.get('PATH', '')}:{_PATH}",
            "VAGRANT_HOME": str(self.directory / "vagrant-home"),
            "VAGRANT_DEFAULT_PROVIDER": "libvirt",
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "VAGRANT_DOTFILE_PATH": str(self.directory / "dotfile"),
            **settings,
        }


@contextmanager
def opened(directory: Path) -> Iterator[Room]:
    """Have a room within the block, with libvirtd ready; raises VagrantError."""
    with open(directory / "daemons.log", "ab") as log:
        unshare = subprocess.Popen(
            # If this program is killed, so is unshare; if unshare is, so is the room.
            ["setpriv", "--pdeathsig", "KILL"]
            + ["unshare", "--mount", "--net", "--pid", "--ipc"]
            + ["--fork", "--kill-child", "--mount-proc"]
            + [sys.executable, "-m", __name__, str(directory)],
            cwd=_PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # Ctrl-C is for us, who destroy the VM first
        )
    try:
        assert unshare.stdout
        if unshare.stdout.readline().strip() != _READY:
            raise VagrantError(f"libvirt does not start: {_last_line(directory)}")
        yield Room(directory, _child_of(unshare.pid))
    finally:
        unshare.kill()
        unshare.wait()


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _last_line(directory: Path) -> str:
    lines = (directory / "daemons.log").read_text(errors="replace").splitlines()
    return f"{lines[-1] if lines else 'it said nothing'} ({directory}/daemons.log)"


# From here on: process 1 of the room.


def _furnish(directory: Path) -> None:
    """Put the room's own files where libvirt looks for its."""
    _must("mount", "-t", "sysfs", "sysfs", "/sys")  # of this network namespace
    _must("ip", "link", "set", "lo", "up")
    _must("mount", "-t", "tmpfs", "tmpfs", "/run")
    for name in ("dbus", "libvirt", "lock"):
        Path("/run", name).mkdir()
    for place in _LIBVIRT:
        _bind_copy(directory / "libvirt" / place, Path("/", place, "libvirt"))
    if not host.has_kvm() and Path("/dev/kvm").exists():
        # libvirt would try it, and what it learnt about QEMU would never be valid.
        nothing = directory / "no-kvm"
        nothing.touch(mode=0)
        _must("mount", "--bind", str(nothing), "/dev/kvm")


def _bind_copy(mine: Path, there: Path) -> None:
    if not mine.exists():
        shutil.copytree(there, mine, symlinks=True)
        if (mine / "qemu.conf").exists():
            (mine / "qemu.conf").write_text(_QEMU_CONF)
    _must("mount", "--bind", str(mine), str(there))


def _must(*argv: str) -> None:
    subprocess.run(argv, check=True, stdout=sys.stderr)


def _start_daemons() -> list[int]:
    """Start the daemons; return their process ids once libvirtd takes connections."""
    started = [
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        for argv in _DAEMONS
    ]
    deadline = time.monotonic() + _START_S
    with socket.socket(socket.AF_UNIX) as client:
        while client.connect_ex(str(_SOCKET)):
            ended = next((one for one in started if one.poll() is not None), None)
            if ended is not None:
                name = _DAEMONS[started.index(ended)][0]
                raise SystemExit(f"{name} ended with code {ended.returncode}")
            if time.monotonic() > deadline:
                raise SystemExit(f"libvirtd: not ready in {_START_S:.0f} s")
            time.sleep(0.05)
    return [one.pid for one in started]


def _reap(daemons: Sequence[int]) -> NoReturn:
    """Take what ends in here, as process 1 must; end with the first daemon that does."""
    while True:
        pid, status = os.wait()
        if pid in daemons:
            raise SystemExit(f"{_DAEMONS[daemons.index(pid)][0]} ended: {status}")


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def main() -> NoReturn:
    """Be process 1 of a room."""
    signal.signal(signal.SIGTERM, _end)
    _furnish(Path(sys.argv[1]))
    daemons = _start_daemons()
    print(_READY, flush=True)
    _reap(daemons)


if __name__ == "__main__":
    main()
