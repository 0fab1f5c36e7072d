"""What a machine has: memory, KVM, and whether it is as it was."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from vagrant import host
from vagrant.errors import Unfit

STATE = host.State(frozenset({"lo", "eth0"}), frozenset({"/"}), "", "0")


@pytest.mark.parametrize(
    ("flags", "device", "expected"),
    [
        ("fpu vmx sse2", True, True),
        ("fpu svm sse2", True, True),
        ("fpu sse2 vmx_like", True, False),  # a device, and no processor behind it
        ("fpu vmx", False, False),
    ],
)
def test_kvm_is_a_device_and_a_processor(
    flags: str, device: bool, expected: bool, tmp_path: Path
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nvmx flags\t: x\n")
    kvm = tmp_path / "kvm"
    if device:
        kvm.touch()
    assert host.has_kvm(kvm, cpuinfo) is expected


def test_available_memory_is_read_in_mib() -> None:
    assert (
        host.available_mib("MemTotal: 4096000 kB\nMemAvailable:  2048000 kB\n") == 2000
    )


def test_a_meminfo_that_says_nothing_is_refused() -> None:
    with pytest.raises(Unfit, match="does not say"):
        host.available_mib("MemTotal: 1 kB\n")


@pytest.mark.parametrize(
    ("memory_mib", "disk_mib", "line"),
    [
        (10**7, 1, r"^too little memory: \d+ MiB available, 10000512 needed"),
        (1, 10**9, r"^too little disk: \d+ MiB free in .*, 1000000000 needed$"),
    ],
)
def test_a_machine_that_is_too_small_is_told_in_a_line(
    memory_mib: int,
    disk_mib: int,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(Unfit, match=line):
        host.check(tmp_path, 1, memory_mib, disk_mib)


def test_only_root_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Unfit, match="must be root"):
        host.check(tmp_path, 1, 1, 1)


def test_a_machine_as_it_was_has_no_differences() -> None:
    assert not [*STATE.differences(replace(STATE))]


def test_each_difference_is_named() -> None:
    later = replace(STATE, interfaces=frozenset({"lo", "virbr0"}), ip_forward="1")
    assert [*STATE.differences(later)] == [
        "interfaces: was eth0 lo, is lo virbr0",
        "ip_forward: was 0, is 1",
    ]


def test_processes_are_found_by_their_environment() -> None:
    assert os.getpid() in host.processes_with("PATH", _own_variable("PATH"))
    assert not host.processes_with("PATH", "no such path")


def _own_variable(name: str) -> str:
    # As the process was started, which is what /proc shows.
    variables = Path("/proc/self/environ").read_bytes().split(b"\0")
    prefix = f"{name}=".encode()
    return next(v for v in variables if v.startswith(prefix))[len(prefix) :].decode()
