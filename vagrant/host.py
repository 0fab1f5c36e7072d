"""What the machine has to offer, and how it looked before a run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from vagrant.errors import Unfit

_IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_MIB = 1 << 20
# libvirt's daemons, Vagrant and QEMU itself, beside the VM's memory.
_OVERHEAD_MIB = 512


def has_kvm(
    device: Path = Path("/dev/kvm"), cpuinfo: Path = Path("/proc/cpuinfo")
) -> bool:
    """Tell whether KVM can run a guest: a device is not enough, there must be a processor to it."""
    flags = next(
        (line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")),
        "",
    )
    return device.exists() and bool({"vmx", "svm"} & set(flags.split()))


def check(directory: Path, vms: int, memory_mib: int, disk_mib: int) -> None:
    """Raise Unfit, in one line, if the VMs cannot be had here."""
    if os.geteuid() != 0:
        raise Unfit("must be root: sudo make vagrant-test")
    wanted = vms * memory_mib + _OVERHEAD_MIB
    if (free := available_mib(Path("/proc/meminfo").read_text())) < wanted:
        raise Unfit(
            f"too little memory: {free} MiB available, {wanted} needed"
            f" (TESTBED_MEMORY is {memory_mib} MiB a VM)"
        )
    if (free := shutil.disk_usage(directory).free // _MIB) < disk_mib:
        raise Unfit(
            f"too little disk: {free} MiB free in {directory}, {disk_mib} needed"
        )


def available_mib(meminfo: str) -> int:
    """Return the memory that can be had without swapping."""
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) // 1024
    raise Unfit("/proc/meminfo does not say how much memory is available")


@dataclass(frozen=True, slots=True)
class State:
    """What libvirt and VMs change on a machine that they are given the whole of."""

    interfaces: frozenset[str]
    mounts: frozenset[str]
    packet_filter: str
    ip_forward: str

    def differences(self, later: State) -> Iterator[str]:
        """Describe what is not as it was."""
        for field in fields(self):
            before, after = getattr(self, field.name), getattr(later, field.name)
            if before != after:
                yield f"{field.name}: was {_words(before)}, is {_words(after)}"


def _words(value: frozenset[str] | str) -> str:
    return value if isinstance(value, str) else " ".join(sorted(value))


def state() -> State:
    """Look at the machine."""
    return State(
        frozenset(os.listdir("/sys/class/net")),
        frozenset(
            line.split()[4]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        _packet_filter(),
        _IP_FORWARD.read_text().strip(),
    )


def _packet_filter() -> str:
    argv = ["iptables-save"]
    if not shutil.which(argv[0]):
        return ""
    printed = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    return "\n".join(line for line in printed.splitlines() if not line.startswith("#"))


def processes_with(variable: str, value: str) -> Mapping[int, str]:
    """Return the processes, by id, that have a variable of this value in their environment."""
    wanted = f"{variable}={value}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted in (
                entry / "environ"
            ).read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "comm").read_text().strip()
        except OSError:
            continue  # it has ended
    return found
