"""The Vagrantfiles, as Vagrant reads them: valid as they are, a line for each wrong setting."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
VAGRANT = ROOT / "vagrant"

pytestmark = pytest.mark.requires("vagrant")


def validate(
    directory: Path, home: Path, *words: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Have Vagrant read a Vagrantfile, with nothing of this user's in its way."""
    usual = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TESTBED_", "VAGRANT_"))
    }
    own = {"VAGRANT_HOME": str(home), "VAGRANT_DOTFILE_PATH": str(home / "dotfile")}
    return subprocess.run(
        ["vagrant", "--no-tty", "validate", *words],
        cwd=directory,
        env={**usual, **own, **settings},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("directory", [VAGRANT, VAGRANT / "two"])
def test_the_vagrantfile_is_valid(directory: Path, tmp_path: Path) -> None:
    done = validate(directory, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"TESTBED_CPUS": "none"},
            "TESTBED_CPUS is 'none': it must be a number of CPUs",
        ),
        (
            {"TESTBED_MEMORY": "512"},
            "TESTBED_MEMORY is 512 MiB: the testbed needs 1024",
        ),
        ({"TESTBED_DRIVER": "xen"}, "TESTBED_DRIVER is 'xen': it must be kvm or qemu"),
        (
            {"TESTBED_FOLDER": "/nowhere"},
            "TESTBED_FOLDER is /nowhere: there is no testbed in it (scripts/install.sh)",
        ),
        ({"TESTBED_BOX": "no.box"}, "TESTBED_BOX: there is no file no.box"),
        (
            {"VAGRANT_DEFAULT_PROVIDER": "lxc"},
            "unknown provider 'lxc': there are libvirt and virtualbox",
        ),
    ],
)
def test_a_wrong_setting_is_told_in_a_line(
    settings: dict[str, str], said: str, tmp_path: Path
) -> None:
    done = validate(VAGRANT, tmp_path, **settings)
    assert done.returncode != 0
    # What comes before is Vagrant's own, for any error in a Vagrantfile.
    assert done.stderr.splitlines()[-1] == said


@pytest.mark.skipif(bool(shutil.which("VBoxManage")), reason="VirtualBox is here")
def test_a_provider_that_is_missing_is_told_in_a_line(tmp_path: Path) -> None:
    done = validate(VAGRANT, tmp_path, VAGRANT_DEFAULT_PROVIDER="virtualbox")
    assert done.stderr.splitlines()[-1].startswith(
        "no provider: install vagrant-libvirt"
    )
