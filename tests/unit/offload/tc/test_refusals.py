"""Bad command lines: what tc says of them, and how it leaves."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from offload.tc import Refusal, parse

from .refusals import REFUSALS

TC = shutil.which("tc")


def without_usage(text: str) -> str:
    """Usage texts are our own; that one is printed is tc's."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.startswith(("Usage:", "usage:")):
            return "\n".join([*lines[:number], "USAGE"])
    return text


@pytest.mark.parametrize(("line", "exit_code", "said"), REFUSALS)
def test_refuses_as_tc_does(line: str, exit_code: int, said: str) -> None:
    with pytest.raises(Refusal) as refusal:
        parse(line.split(), device_exists=lambda device: device == "lo")
    assert without_usage(str(refusal.value)) == said
    assert refusal.value.exit_code == exit_code


@pytest.mark.skipif(TC is None, reason="no tc (iproute2) here")
def test_the_table_is_what_the_systems_tc_says() -> None:
    version = subprocess.run(
        [str(TC), "-V"], capture_output=True, text=True, check=True
    )
    if "iproute2-6.1." not in version.stdout:
        pytest.skip(f"the table is iproute2 6.1's, here is {version.stdout.strip()}")
    for line, exit_code, said in REFUSALS:
        run = subprocess.run(
            [str(TC), *line.split()],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert without_usage(run.stderr).removesuffix("\n") == said, line
        assert run.returncode == exit_code, line
