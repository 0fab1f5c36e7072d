"""The guest's root file system: an archive in memory, written without the host's cpio.

Programs come from the host with the libraries they are linked to, the guest's half as compiled
Python with the part of the standard library that it imports: an emulated processor is slow, so
what is not needed is not carried.

Source: Documentation/driver-api/early-userspace/buffer-format.rst
"""

from __future__ import annotations

import json
import os
import py_compile
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.kernel.oracle.errors import Unavailable

ROOT = Path(__file__).resolve().parents[3]
GUEST = (ROOT / "tests/kernel/guest", ROOT / "tests/kernel/cases")
PROGRAMS = ("tc", "ip", "conntrack", "ethtool", "sysctl")
APPLETS = ("sh", "mount", "insmod", "cat", "ls", "dmesg", "ps", "grep", "head", "sleep")
FOLDERS = ("proc", "sys", "dev", "tmp", "run", "etc", "modules", "guest")
PYTHON = Path(sys.executable).resolve()
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /run
while read -r module; do
    insmod "/modules/$module" || echo "insmod $module failed"
done < /modules/order
cd /guest && export PYTHONPATH=/guest PYTHONHOME=@home@ PYTHONDONTWRITEBYTECODE=1
exec @python@ -s -S -m tests.kernel.guest
"""
LOADED = """
import encodings.ascii, encodings.latin_1, encodings.idna, json, runpy, sys, traceback
import tests.kernel.guest.__main__
print(json.dumps({name: getattr(module, "__file__", None)
                  for name, module in sys.modules.items()}))
"""


@dataclass(slots=True)
class Archive:
    """A cpio archive ("newc") that grows; each path goes in once, with its folders."""

    _parts: list[bytes] = field(default_factory=list)
    _paths: set[str] = field(default_factory=set)

    def add(self, path: str, content: bytes, mode: int) -> None:
        """Add a file, a link (its content is the target) or a folder."""
        path = path.strip("/")
        if path in self._paths:
            return
        if parent := os.path.dirname(path):
            self.folder(parent)
        self._paths.add(path)
        self._parts.append(self._entry(path, content, mode))

    def folder(self, path: str) -> None:
        """Add an empty folder."""
        self.add(path, b"", stat.S_IFDIR | 0o755)

    def file(self, path: str, content: bytes, executable: bool = False) -> None:
        """Add a file."""
        self.add(path, content, stat.S_IFREG | (0o755 if executable else 0o644))

    def copy(self, source: Path) -> None:
        """Add a program or library of the host, under its own path."""
        self.file(str(source), source.read_bytes(), executable=True)

    def packed(self) -> bytes:
        """Return the archive."""
        return b"".join((*self._parts, self._entry("TRAILER!!!", b"", 0)))

    def _entry(self, path: str, content: bytes, mode: int) -> bytes:
        name = path.encode() + b"\0"
        inode = len(self._parts) + 1
        numbers = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0]
        header = b"070701" + b"".join(b"%08X" % number for number in numbers)
        return _padded(header + name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def make(busybox: Path, modules: Iterable[Path], scratch: Path) -> bytes:
    """Return the archive, uncompressed."""
    archive = Archive()
    for folder in FOLDERS:
        archive.folder(folder)
    add_busybox(archive, busybox, APPLETS)
    for program in PROGRAMS:
        _add_program(archive, program)
    _add_python(archive, scratch)
    add_modules(archive, modules)
    init = INIT.replace("@python@", str(PYTHON)).replace("@home@", sys.base_prefix)
    archive.file("init", init.encode(), executable=True)
    return archive.packed()


def add_busybox(archive: Archive, busybox: Path, applets: Iterable[str]) -> None:
    """Add busybox, under the names of some of its tools."""
    archive.file("bin/busybox", busybox.read_bytes(), executable=True)
    for applet in applets:
        archive.add(f"bin/{applet}", b"busybox", stat.S_IFLNK | 0o777)


def add_modules(archive: Archive, modules: Iterable[Path]) -> None:
    """Add modules, and their names in load order in ``modules/order``."""
    names = []
    for path in modules:
        archive.file(f"modules/{path.name}", path.read_bytes())
        names.append(path.name)
    archive.file("modules/order", "".join(f"{name}\n" for name in names).encode())


def _add_program(archive: Archive, name: str) -> None:
    found = shutil.which(name)
    if found is None:
        raise Unavailable(f"not installed: {name}")
    content = Path(found).read_bytes()
    archive.file(f"usr/bin/{name}", content, executable=True)
    _add_libraries(archive, Path(found))


def _add_libraries(archive: Archive, program: Path) -> None:
    """Add what the program is linked to. Source: ldd(1)."""
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True)
    for library in re.findall(r"(/\S+) \(0x", done.stdout):
        archive.file(library, Path(library).read_bytes(), executable=True)


def _add_python(archive: Archive, scratch: Path) -> None:
    """Add the interpreter, the guest's half, and the modules that this imports."""
    archive.copy(PYTHON)
    _add_libraries(archive, PYTHON)
    for folder in GUEST:
        for source in sorted(folder.rglob("*.py")):
            _add_compiled(archive, source, f"guest/{source.relative_to(ROOT)}", scratch)
    for path in _imported():
        if path.suffix == ".py":
            _add_compiled(archive, path, str(path), scratch)
        else:
            archive.copy(path)
            _add_libraries(archive, path)


def _add_compiled(archive: Archive, source: Path, path: str, scratch: Path) -> None:
    compiled = scratch / "module.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), str(compiled), path, True, invalidation_mode=mode)
    archive.file(path.removesuffix(".py") + ".pyc", compiled.read_bytes())


def _imported() -> list[Path]:
    """Return the files of the standard library that the guest's half has loaded once started."""
    command = [str(PYTHON), "-s", "-S", "-c", LOADED]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"the guest's half does not start: {done.stderr}")
    files = [Path(name) for name in json.loads(done.stdout).values() if name]
    return [path for path in files if ROOT not in path.parents]
