"""What this machine must have, asked before anything is built."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from topologies.errors import Missing
from topologies.options import DATAPATH_VARIABLE, Datapath, Options
from topologies.run import search_path

# (program, the Debian package that has it)
_PROGRAMS = (
    ("ovs-vswitchd", "openvswitch-switch"),
    ("ovsdb-server", "openvswitch-switch"),
    ("ovsdb-tool", "openvswitch-switch"),
    ("ovs-vsctl", "openvswitch-switch"),
    ("ovs-appctl", "openvswitch-switch"),
    ("mnexec", "mininet"),
    ("ifconfig", "net-tools"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("ethtool", "ethtool"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
)
_TBF = ("tbf", "rate", "1mbit", "burst", "15000", "latency", "50ms")
_TUN = Path("/dev/net/tun")
# What Open vSwitch's kernel datapath and the driver's part in its conntrack take.
_MODULES = ("openvswitch", "vxlan", "nf_conntrack_netlink", "nfnetlink_cttimeout")


def check(options: Options) -> Options:
    """Return the options with the datapath decided on.

    Raises Missing, in one line, if a run with them cannot work here.
    """
    if os.geteuid() != 0:
        raise Missing("must be root to build networks (try sudo)")
    _check_programs()
    options = replace(options, datapath=decided(options.datapath))
    _check_datapath(options.datapath)
    if options.delay_ms and not _can_queue("netem", "delay", "1ms"):
        raise Missing(
            "this kernel has no netem (sch_netem): --delay cannot be had;"
            " run without it, or on a kernel built with CONFIG_NET_SCH_NETEM"
        )
    if options.bandwidth_mbps and not _can_queue(*_TBF):
        raise Missing("this kernel has no tbf (sch_tbf): --bandwidth cannot be had")
    return options


def _check_programs() -> None:
    missing = {name: package for name, package in _PROGRAMS if not find(name)}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise Missing(
            f"not installed: {', '.join(missing)} (apt-get install {packages})"
        )


def find(program: str) -> str | None:
    """Return the path of a program of the system's."""
    return shutil.which(program, path=search_path())


def decided(datapath: Datapath) -> Datapath:
    """Return which of the two is meant.

    The kernel's is not the default, since not all tests have passed on it.
    """
    if datapath is Datapath.DEFAULT:
        datapath = Datapath.named(os.environ.get(DATAPATH_VARIABLE) or Datapath.USER)
    if datapath is Datapath.DEFAULT:
        return Datapath.USER
    if datapath is not Datapath.AUTO:
        return datapath
    return Datapath.USER if any(_missing_for_kernel()) else Datapath.KERNEL


def _missing_for_kernel() -> Iterator[str]:
    """Each thing that the kernel datapath needs and is not here, the weightiest first."""
    for module in _MODULES:
        if not _has_module(module):
            yield f"this kernel has no {module} module"
    if not find("nft"):
        yield "not installed: nft (apt-get install nftables)"
    elif _fails(["unshare", "-n", "nft", "add", "table", "inet", "raw"]):
        yield "this kernel has no nf_tables"


def _check_datapath(datapath: Datapath) -> None:
    if datapath is Datapath.KERNEL:
        for missing in _missing_for_kernel():
            raise Missing(f"{missing}: use --datapath user")
    elif not (_TUN.exists() or _has_module("tun")):
        # Open vSwitch's userspace datapath makes a bridge's own port of a tap.
        raise Missing(f"this kernel has no tun module, or {_TUN} is not there")


def _has_module(name: str) -> bool:
    if Path("/sys/module", name).exists():
        return True
    modprobe = find("modprobe")
    return bool(modprobe) and not _fails([str(modprobe), "-q", name])


def _can_queue(*qdisc: str) -> bool:
    """Try a qdisc on the loopback device of a namespace that is gone at once."""
    return not _fails(
        ["unshare", "-n", "tc", "qdisc", "add", "dev", "lo", "root", *qdisc]
    )


def _fails(argv: list[str]) -> bool:
    environment = {**os.environ, "PATH": search_path()}
    return bool(subprocess.run(argv, env=environment, capture_output=True).returncode)
