"""A case's two network namespaces, its devices in them, and their settings."""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from tests.kernel.cases.case import Case, Port, PortKind
from tests.kernel.guest.wires import SETTLE

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17
OWN = "/proc/self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


class SetUpFailed(RuntimeError):
    """The devices of a case could not be made."""


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Open descriptors of the two; the process is in one of them at a time."""

    case: int
    far: int

    def enter_case(self) -> None:
        """Go where the filters are."""
        _check(_libc.setns(self.case, CLONE_NEWNET), "setns")

    def enter_far(self) -> None:
        """Go where the other ends of the wires are."""
        _check(_libc.setns(self.far, CLONE_NEWNET), "setns")


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def make() -> Namespaces:
    """Make two empty namespaces, without IPv6's own packets, and stay in the far one."""
    return Namespaces(case=_new(), far=_new())


def _new() -> int:
    _check(_libc.unshare(CLONE_NEWNET), "unshare")
    for scope in ("all", "default"):
        sysctl(f"net.ipv6.conf.{scope}.disable_ipv6", "1")
    return os.open(OWN, os.O_RDONLY)


def sysctl(name: str, value: str) -> None:
    """Write a setting of the current namespace."""
    with open("/proc/sys/" + name.replace(".", "/"), "w", encoding="ascii") as file:
        file.write(value)


def populate(case: Case, namespaces: Namespaces) -> None:
    """Make the case's devices, up; stay in its namespace."""
    namespaces.enter_case()
    far = f"/proc/{os.getpid()}/fd/{namespaces.far}"
    _ip(_links(case, far))
    namespaces.enter_far()
    for name in (*SETTLE, *_wires(case)):
        _up(name)
    namespaces.enter_case()
    for port in case.ports:
        _no_checksum_offload(port.name)
    for setting in case.sysctls:
        sysctl(setting.name, setting.value)


def _links(case: Case, far: str) -> Iterator[str]:
    for port in case.ports:
        yield _link(port, far)
    near, other = SETTLE
    yield f"link add {near} netns {far} type veth peer name {other} netns {far}"
    for port in case.ports:
        yield from _address(port)
    for port in case.ports:
        for peer in port.neighbours:
            yield f"neigh add {peer.address} lladdr {peer.mac} dev {port.name}"


def _link(port: Port, far: str) -> str:
    address = f"address {port.mac} " if port.mac else ""
    start = f"link add {port.name} {address}mtu {port.mtu} type"
    if port.kind is PortKind.TUNNEL:
        return f"{start} vxlan external dstport {port.udp_port} udp6zerocsumrx"
    return f"{start} veth peer name {port.name} mtu {port.mtu} netns {far}"


def _wires(case: Case) -> Iterator[str]:
    return (port.name for port in case.ports if port.kind is PortKind.WIRE)


def _address(port: Port) -> Iterator[str]:
    if port.address:
        yield f"address add {port.address} dev {port.name}"
    yield f"link set {port.name} up"


def _ip(lines: Iterator[str]) -> None:
    """Give the lines to one process: under emulation, to start one takes 50 ms."""
    text = "\n".join(lines) + "\n"
    done = subprocess.run(
        ["ip", "-batch", "-"], input=text, capture_output=True, text=True
    )
    if done.returncode:
        raise SetUpFailed(f"ip -batch: {done.stderr.strip()}\n{text}")


def _up(device: str) -> None:
    request = struct.pack("=16sH22x", device.encode(), IFF_UP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, request)


def _no_checksum_offload(device: str) -> None:
    """A frame leaves with its checksum done: a packet socket would be given it undone."""
    value = array.array("B", struct.pack("=II", ETHTOOL_STXCSUM, 0))
    address, _ = value.buffer_info()
    request = struct.pack("16sP8x", device.encode(), address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, request)
