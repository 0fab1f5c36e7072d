"""The version in a box's name: a digest of what the box is made of, and of nothing else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what a box is made of, and of a file that has no part in it."""
    for directory in ("scripts", "vagrant/box"):
        shutil.copytree(ROOT / directory, tmp_path / directory)
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def box_of(project: Path) -> Path:
    """Ask the builder for the name it would build."""
    argv = [str(project / "vagrant" / "box" / "build"), "--name"]
    return Path(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def add_line(file: Path) -> None:
    """Change a file."""
    file.write_text(file.read_text() + "\n# a line\n")


def test_the_same_project_makes_the_same_box(project: Path) -> None:
    box = box_of(project)
    assert box.parent == project / ".cache" / "vagrant"
    assert box.name.startswith("ct-offload-debian12-")
    assert box_of(project) == box


@pytest.mark.parametrize(
    "name",
    ["scripts/constraints.txt", "scripts/install.sh", "vagrant/box/machine.sh"],
)
def test_what_a_box_is_made_of_changes_its_version(name: str, project: Path) -> None:
    before = box_of(project)
    add_line(project / name)
    assert box_of(project) != before


def test_what_has_no_part_in_it_does_not(project: Path) -> None:
    before = box_of(project)
    add_line(project / "README.md")
    assert box_of(project) == before
