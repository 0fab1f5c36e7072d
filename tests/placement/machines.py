"""Two machines for a test, on one: network and mount namespaces with a cable between them.

    +- here -----------------+            +- there -----------------+
    |  the test's programs   |    SSH     |  sshd                   |
    |  192.168.57.11   eth1 -+------------+- eth1   192.168.57.12   |
    +------------------------+            +-------------------------+

Each has a /run of its own, and with it runs of its own; ``here`` has an ssh_config and a key
that lead to ``there``, and nowhere else.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from topologies.waiting import wait_until

THERE = "192.168.57.12"
_HERE = "192.168.57.11"
_ROOT = Path(__file__).resolve().parent.parent.parent
_SSHD_CONFIG = """\
ListenAddress {address}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PidFile none
"""
_SSH_CONFIG = """\
IdentityFile {directory}/user_key
UserKnownHostsFile {directory}/known_hosts
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A network and a mount namespace."""

    pid: int

    def entering(self, argv: Sequence[str]) -> list[str]:
        """Return the words that run a command on the machine."""
        target = f"--target={self.pid}"
        return ["nsenter", target, "--net", "--mount", f"--wd={_ROOT}", "--", *argv]

    def run(
        self, *argv: str, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine to its end."""
        return subprocess.run(
            self.entering(argv), capture_output=True, text=True, timeout=timeout_s
        )

    def must(self, *argv: str) -> str:
        """Run a command that may not fail."""
        done = self.run(*argv)
        assert done.returncode == 0, (argv, done.stderr)
        return done.stdout

    def runs(self) -> list[str]:
        """Return what is below the machine's /run/ct-offload."""
        return self.run("ls", "/run/ct-offload").stdout.split()


@dataclass(frozen=True, slots=True)
class Pair:
    """The two machines."""

    here: Machine
    there: Machine


@contextmanager
def pair(directory: Path) -> Iterator[Pair]:
    """Have both machines within the block, and SSH from one to the other."""
    with ExitStack() as stack:
        here, there = (
            Machine(stack.enter_context(_namespaces(name)))
            for name in ("here", "there")
        )
        peer = ["type", "veth", "peer", "name", "eth1", "netns", str(there.pid)]
        here.must("ip", "link", "add", "name", "eth1", *peer)
        for machine, address in ((here, _HERE), (there, THERE)):
            machine.must("ip", "address", "add", f"{address}/24", "dev", "eth1")
            machine.must("ip", "link", "set", "eth1", "up")
        _write_keys(directory)
        config = directory / "ssh_config"
        here.must("mount", "--bind", str(config), "/etc/ssh/ssh_config")
        stack.enter_context(_sshd(there, directory / "sshd_config"))
        wait_until(
            lambda: not here.run("ssh", "-oConnectTimeout=1", THERE, "true").returncode,
            30,
            "sshd",
        )
        yield Pair(here, there)


@contextmanager
def _namespaces(name: str) -> Iterator[int]:
    """Hold namespaces by a process that does nothing; its id is theirs, /run/name the name."""
    script = "mount -t tmpfs tmpfs /run && mkdir /run/sshd && ip link set lo up"
    script += f" && echo {name} >/run/name && echo ready && exec sleep infinity"
    argv = ["unshare", "--net", "--mount", "sh", "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout and holder.stdout.readline() == "ready\n"
            yield holder.pid
        finally:
            holder.kill()


@contextmanager
def _sshd(machine: Machine, config: Path) -> Iterator[None]:
    argv = machine.entering(["/usr/sbin/sshd", "-D", "-f", str(config)])
    with subprocess.Popen(argv) as sshd:
        try:
            yield
        finally:
            sshd.terminate()


def _write_keys(directory: Path) -> None:
    for name in ("host_key", "user_key"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f"]
        subprocess.run([*argv, str(directory / name)], check=True)
    public = (directory / "host_key.pub").read_text()
    (directory / "known_hosts").write_text(f"{THERE} {public}")
    words = {"directory": directory, "address": THERE}
    (directory / "sshd_config").write_text(_SSHD_CONFIG.format(**words))
    (directory / "ssh_config").write_text(_SSH_CONFIG.format(**words))
