"""One run of a network: its directory, its mark on processes, its end.

    /run/ct-offload/              locked while a run begins or ends
        3f29c1d0/                 the run's id; 0700
            lock                  locked by the owner for as long as it lives
            control.sock, openflow.sock, controller.log
            hv1/                  Open vSwitch's database, sockets and logs, bin/

The kernel drops a lock with its holder, however that dies: a run whose lock can
be had is one nobody owns. Whoever starts next ends its processes (they carry the run's
mark, see processes.py) and removes its directory. Namespaces and interfaces go with them.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from topologies import processes, signals
from topologies.errors import CommandFailed, TopologyError
from topologies.machine import Machine, Server
from topologies.options import Options
from topologies.processes import RUN_VARIABLE, Proc
from topologies.waiting import PATIENCE

_LOCK = "lock"
_RUN_ID = re.compile(r"[0-9a-f]{8}").fullmatch
_GRACE_S = 3.0 * PATIENCE
_COMMAND_TIMEOUT_S = 30.0 * PATIENCE
# Programs of a network live there, and root's PATH does not always say so.
_SYSTEM_PATH = (
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
)


def search_path() -> str:
    """Return PATH with the directories of the system's own tools in it."""
    given = os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join(
        [*given, *(place for place in _SYSTEM_PATH if place not in given)]
    )


class Run:
    """A run that this process owns, from ``open`` to ``close``."""

    def __init__(self, directory: Path, options: Options, lock: int) -> None:
        self.directory = directory
        self.options = options
        self._lock: int | None = lock
        self._children: list[subprocess.Popen[bytes]] = []
        self._machines = {"": Machine()}

    @classmethod
    def open(cls, options: Options, run_id: str | None = None) -> Run:
        """Begin a run, after removing what dead ones have left.

        With an id it is part of another machine's run (see agent.py). Not to be interrupted:
        the caller holds signals back until ``close`` is arranged for.
        """
        root = options.run_dir_root.resolve()
        with _locked_root(root):
            reap(root)
            directory = root / (run_id or secrets.token_hex(4))
            directory.mkdir(mode=0o700)
            lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
        return cls(directory, options, lock)

    @property
    def id(self) -> str:
        """The run's name, in its directory and in its processes' environment."""
        return self.directory.name

    @property
    def control_socket(self) -> Path:
        """Where the controller takes commands."""
        return self.directory / "control.sock"

    @property
    def openflow_socket(self) -> Path:
        """Where the controller takes switches."""
        return self.directory / "openflow.sock"

    def machine(self, name: str) -> Machine:
        """Return a machine of the run's by its name, connected to; raises TopologyError."""
        if name not in self._machines:
            with signals.deferred():
                self._machines[name] = Server(
                    name, self.directory, self.options.datapath.value
                )
        return self._machines[name]

    def environment(self, given: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return an environment with the run's mark (and a PATH)."""
        environment = dict(os.environ if given is None else given)
        environment.setdefault("PATH", search_path())
        environment[RUN_VARIABLE] = self.id
        return environment

    def end_processes(self) -> None:
        """End whatever runs as part of the run, started by it or by its user."""
        processes.end(lambda: Proc().of_run(self.directory), _GRACE_S)

    def adopt(self, child: subprocess.Popen[bytes]) -> None:
        """Remember a child, so that it is waited for when the run ends."""
        self._children = [known for known in self._children if known.poll() is None]
        self._children.append(child)

    def call(
        self,
        argv: Sequence[str],
        given: Mapping[str, str] | None = None,
        stdin: str = "",
        machine: Machine | None = None,
    ) -> str:
        """Run a command to its end and return what it printed, or raise CommandFailed."""
        environment = self.environment(given)
        try:
            done = subprocess.run(
                machine.command(argv, environment) if machine else argv,
                input=stdin,
                env=environment,
                capture_output=True,
                text=True,
                errors="surrogateescape",
                timeout=_COMMAND_TIMEOUT_S,
            )
        except FileNotFoundError:
            raise CommandFailed(argv, 127, "no such program") from None
        except subprocess.TimeoutExpired:
            raise CommandFailed(
                argv, 124, f"not done in {_COMMAND_TIMEOUT_S:g} s"
            ) from None
        if done.returncode:
            raise CommandFailed(argv, done.returncode, done.stderr or done.stdout)
        return done.stdout

    def close(self) -> None:
        """End the run's processes and remove its files; a second time does nothing."""
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        with signals.deferred():
            try:
                self.end_processes()
                for machine in self._machines.values():
                    machine.close()
                # If they do not end, the directory stays: it tells the next start about them.
                with ExitStack() as stack:
                    stack.callback(_remove, self.directory)
                    self._wait_for_children()
                    self._keep_logs()
            finally:
                os.close(lock)

    def _wait_for_children(self) -> None:
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(_GRACE_S)

    def _keep_logs(self) -> None:
        if self.options.keep_logs is None:
            return
        for log in self.directory.rglob("*.log"):
            kept = self.options.keep_logs / self.id / log.relative_to(self.directory)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, kept)


def reap(root: Path, proc: Proc = Proc()) -> list[str]:
    """Remove the runs below a root that nobody owns any more; return their ids.

    The root must be locked: a run that is just beginning has no lock of its own yet.
    """
    return [
        run.name
        for run in sorted(root.iterdir())
        if _RUN_ID(run.name) and _reap(run, proc)
    ]


def _reap(directory: Path, proc: Proc) -> bool:
    """Remove what a dead run has left; False if the run is alive."""
    # A run killed as it began has made its directory, but neither a lock nor a process.
    with suppress(FileNotFoundError), open(directory / _LOCK, "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        processes.end(lambda: proc.of_run(directory), grace_s=0)
    shutil.rmtree(directory)
    return True


def _remove(directory: Path) -> None:
    """Remove a run's files, and with the last run's the root."""
    with _locked_root(directory.parent):
        shutil.rmtree(directory, ignore_errors=True)
        with suppress(OSError):
            directory.parent.rmdir()


@contextmanager
def _locked_root(root: Path) -> Iterator[None]:
    """Hold the lock of the root, made if need be, against others that begin or end."""
    while True:
        descriptor = _open_root(root)
        with ExitStack() as stack:
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # While this one waited, the last run may have removed the directory it had opened.
            if _is(descriptor, root):
                yield
                return


def _open_root(root: Path) -> int:
    while True:
        try:
            root.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                root.mkdir(mode=0o700)
        except OSError as error:
            raise TopologyError(f"cannot use {root}: {error.strerror}") from None
        try:
            return os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # another run took it away in between
        except OSError as error:
            raise TopologyError(f"cannot use {root}: {error.strerror}") from None


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
