"""Files out of Debian's packages, with nothing installed but, when asked for, QEMU.

Source: apt-get(8) download, dpkg-deb(1) -x.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.oracle.errors import Unavailable

KERNEL_META = "linux-image-amd64"
BUSYBOX = "busybox-static"
SHOW_TIMEOUT_S = 60
DOWNLOAD_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the registry, and its newest version there."""

    name: str
    version: str


def newest(name: str) -> tuple[Package, str]:
    """Return the package and what it depends on, as apt knows them."""
    text = _run(["apt-cache", "show", "--no-all-versions", name], SHOW_TIMEOUT_S)
    fields = dict(re.findall(r"^(Version|Depends): (.*)$", text, re.MULTILINE))
    if "Version" not in fields:
        raise Unavailable(f"apt knows no {name} (try apt-get update)")
    return Package(name, fields["Version"]), fields.get("Depends", "")


def kernel() -> Package:
    """Return the package that linux-image-amd64 stands for today."""
    meta, depends = newest(KERNEL_META)
    found = re.search(r"linux-image-[\w.+-]+", depends)
    if not found:
        raise Unavailable(f"{KERNEL_META} {meta.version} depends on no kernel")
    return newest(found.group())[0]


def busybox() -> Package:
    """Return busybox's package."""
    return newest(BUSYBOX)[0]


def unpack(package: Package, into: Path) -> None:
    """Download the package and put its files into a directory."""
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        wanted = f"{package.name}={package.version}"
        _run(["apt-get", "download", "-q", wanted], DOWNLOAD_TIMEOUT_S, folder)
        for archive in Path(folder).glob("*.deb"):
            _run(["dpkg-deb", "-x", str(archive), str(into)], DOWNLOAD_TIMEOUT_S)


def install(name: str) -> None:
    """Install a package of the host's, which takes root."""
    options = ["-y", "-q", "--no-install-recommends"]
    _run(["apt-get", "install", *options, name], DOWNLOAD_TIMEOUT_S)


def _run(command: list[str], timeout_s: float, folder: str | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=timeout_s
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"{' '.join(command)}: exit {done.returncode}: {last}")
    return done.stdout
