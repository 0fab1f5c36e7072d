"""Make what the virtual machine boots, once: everything is kept under .cache/oracle.

.cache/oracle/packages/NAME_VERSION/   a package's files
.cache/oracle/KEY/vmlinux, initramfs   KEY: the versions and all that goes into the initramfs
.cache/oracle/KEY/*.ram                the machine's memory just after boot (machine.py)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.oracle import initramfs, modules, packages, vmlinux
from tests.kernel.oracle.errors import Unavailable
from tests.kernel.oracle.packages import Package

CACHE = initramfs.ROOT / ".cache" / "oracle"
QEMU = "qemu-system-x86_64"
QEMU_PACKAGE = "qemu-system-x86"
PARTIAL = ".part"
KEPT = 3
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Built:
    """What QEMU is given, the versions that it is of, and the packages' files it was made of."""

    kernel: str
    qemu: str
    folder: Path
    kernel_files: Path
    busybox_files: Path

    @property
    def vmlinux(self) -> Path:
        """The kernel's ELF image."""
        return self.folder / "vmlinux"

    @property
    def initramfs(self) -> Path:
        """The guest's root file system."""
        return self.folder / "initramfs"

    @property
    def modules(self) -> Path:
        """The folder with all of the kernel's modules."""
        return self.kernel_files / "lib" / "modules"

    @property
    def busybox(self) -> Path:
        """A shell and its tools in one program that needs no library."""
        return self.busybox_files / "bin" / "busybox"


def build(say: Say = lambda line: None, newest: bool = False) -> Built:
    """Make what is missing, saying so; raise Unavailable where that cannot be done.

    A kernel that is here stays the one in use until the newest is asked for: to ask apt takes
    seconds, and a test's kernel should not change unnoticed.
    """
    qemu = _qemu_version()
    kernel, busybox = _resolve(newest)
    built = Built(
        f"{kernel.name} {kernel.version}",
        qemu,
        CACHE / _key(kernel, busybox),
        _unpacked(kernel, say),
        _unpacked(busybox, say),
    )
    if not built.initramfs.exists():
        _make(built, say)
    return built


def _qemu_version() -> str:
    if shutil.which(QEMU) is None:
        raise Unavailable(f"not installed: {QEMU} (apt-get install {QEMU_PACKAGE})")
    done = subprocess.run([QEMU, "--version"], capture_output=True, text=True)
    return done.stdout.splitlines()[0]


def _resolve(newest: bool) -> tuple[Package, Package]:
    """Return the packages that are here, or apt's newest."""
    kernel, busybox = _here("linux-image-*"), _here(f"{packages.BUSYBOX}_*")
    if newest or kernel is None or busybox is None:
        return packages.kernel(), packages.busybox()
    return kernel, busybox


def _here(pattern: str) -> Package | None:
    folders = [path for path in (CACHE / "packages").glob(pattern) if _whole(path)]
    found = sorted(folders, key=os.path.getctime)
    if not found:
        return None
    name, _, version = found[-1].name.partition("_")
    return Package(name, version)


def _whole(folder: Path) -> bool:
    return folder.suffix != PARTIAL


def _unpacked(package: Package, say: Say) -> Path:
    """Return the folder with the package's files; it appears whole or not at all."""
    folder = CACHE / "packages" / f"{package.name}_{package.version}"
    if not folder.exists():
        say(f"downloading {package.name} {package.version}")
        partial = folder.with_name(f"{folder.name}.{os.getpid()}{PARTIAL}")
        packages.unpack(package, partial)
        _replace(partial, folder)
    return folder


def _make(built: Built, say: Say) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        partial = Path(scratch) / "built"
        partial.mkdir()
        say("uncompressing the kernel")
        (image,) = built.kernel_files.glob("boot/vmlinuz-*")
        (partial / "vmlinux").write_bytes(vmlinux.extract(image.read_bytes()))
        say("making the initramfs")
        order = modules.in_load_order(built.modules)
        archive = initramfs.make(built.busybox, order, Path(scratch))
        (partial / "initramfs").write_bytes(archive)
        _replace(partial, built.folder)
    _forget_old()


def _forget_old() -> None:
    """Keep the last few: each is 200 MB, and every change to the guest's half makes one."""
    folders = [path.parent for path in CACHE.glob("*/initramfs")]
    for folder in sorted(folders, key=os.path.getctime)[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


def _replace(partial: Path, folder: Path) -> None:
    """Two builds at a time make the same thing: the first one's stays."""
    try:
        partial.rename(folder)
    except OSError:
        shutil.rmtree(partial)


def _key(kernel: Package, busybox: Package) -> str:
    """Return a name for these versions with this guest's half and these programs."""
    digest = hashlib.sha256(repr((kernel, busybox, modules.WANTED)).encode())
    sources = [path for folder in initramfs.GUEST for path in folder.rglob("*.py")]
    for path in (*sorted(sources), Path(initramfs.__file__)):
        digest.update(path.read_bytes())
    for name in (*initramfs.PROGRAMS, str(initramfs.PYTHON)):
        program = Path(shutil.which(name) or name)
        if program.exists():
            status = program.stat()
            digest.update(f"{program} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
