"""What a run may leave behind: looked for before and after.

Other runs may live on the machine at the same time. So each test has a root of its own
for its runs, and a process, socket or mount is a leftover if it has to do with that.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.state import until
from topologies.processes import Proc

_ASK = (["ip", "netns"], ["ip", "-o", "-br", "link"])


@contextmanager
def run_root() -> Iterator[Path]:
    """A root for the runs of one test, with a path short enough for sockets."""
    above = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    try:
        yield above / "runs"
    finally:
        shutil.rmtree(above)


@contextmanager
def nothing_left(root: Path) -> Iterator[None]:
    """Fail if anything is there after the block that was not before.

    Namespaces and links of the machine may be somebody else's, in passing: one that
    stays is a leftover. All else must be gone at once.
    """
    before, names = belonging(root), machine_names()
    yield
    assert belonging(root) == before
    assert before or not root.exists(), sorted(root.rglob("*"))
    until(lambda: machine_names() <= names, "namespaces and links as before")


def machine_names() -> set[str]:
    """The named namespaces, and the links of the machine's own one."""
    listed = [subprocess.check_output(argv, text=True) for argv in _ASK]
    return {line.split()[0] for text in listed for line in text.splitlines()}


def belonging(root: Path) -> set[str]:
    """Processes of runs below a root, bound sockets, mounts and files."""
    found = {f"process {pid}: {command(pid)}" for pid in processes(root)}
    for table in ("/proc/net/unix", "/proc/self/mountinfo"):
        lines = Path(table).read_text().splitlines()
        found |= {line for line in lines if str(root) in line}
    return found | {str(path) for path in root.glob("*")}


def processes(root: Path) -> set[int]:
    """Those that name the root, carry one of its runs' marks, or live in its mounts."""
    proc, runs = Proc(), {path.name for path in root.glob("*")}
    return {
        pid
        for pid in proc.pids()
        if proc.run_id(pid) in runs
        or any(point.startswith(str(root)) for point in proc.mount_points(pid))
        or f"{root}/" in command(pid)
    }


def marked(run_id: str) -> set[int]:
    """Processes with the mark of a run in their environment."""
    proc = Proc()
    return {pid for pid in proc.pids() if proc.run_id(pid) == run_id}


def sleepers(token: str) -> set[int]:
    """Processes with a token in their command line, which a test has put there.

    With its environment and its mounts gone, nothing else tells whose a process was.
    """
    return {pid for pid in Proc().pids() if token in command(pid)}


def command(pid: int) -> str:
    """The command line of a process, empty once it is gone."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()
