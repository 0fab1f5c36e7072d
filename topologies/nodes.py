"""Mininet's nodes, as members of a run; and the virtual machines.

A node of Mininet is a bash in a network namespace, held by its terminal. Here it
also carries the run's mark, in its own environment and in that of all it starts.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mininet.node import Host, Node

from topologies import ambient
from topologies.errors import CommandFailed, TopologyError
from topologies.run import Run

_SHELL_EXIT_S = 2.0
# A window that fits the socket by which the userspace datapath reads a port (208 KiB, and a
# namespace cannot have more): one connection then loses no packet. 350 Mbit/s either way here.
_LOSSLESS_TCP_RMEM = "4096 131072 131072"


class RunNode(Node):
    """A node of a run: the base of every node here.

    ``run`` is given by the network that builds the node; without one, it is the
    run of the process (see ``topologies.ambient``).
    """

    # Mininet's Switch reads it, but sets it only outside of a namespace.
    controlIntf = None

    def __init__(
        self, name: str, run: Run | None = None, server: str = "", **params: Any
    ) -> None:
        self.run = run or ambient.current()
        self.machine = self.run.machine(server)
        super().__init__(name, **params)
        if self.inNamespace:
            self._mark_namespace()

    def _mark_namespace(self) -> None:
        """Make the run's directory a mount point here: the mark that even ``sudo`` keeps."""
        directory = self.run.directory
        # Its output may be a hint (of a changed fstab, say) and no error.
        *said, code = self.cmd(f"mount --bind {directory} {directory}; echo $?").split()
        if code != "0":
            raise TopologyError(f"{self.name}: {' '.join(said)}")

    def startShell(self, mnopts: str | None = None) -> None:
        """Start the node's shell, in its namespace."""
        super().startShell(mnopts or self.machine.shell_options)
        if self.machine.name:
            # Mininet has noted that of the ssh which leads to the shell.
            self.pid = int(self.cmd("echo $$"))

    def environment(self, given: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of what runs on this node."""
        return self.run.environment(given)

    def _popen(self, cmd: list[str], **params: Any) -> subprocess.Popen[bytes]:
        # Mininet's Node starts everything through this: its shell, popen(), pexec().
        environment = self.environment(params.pop("env", None))
        is_shell = self.shell is None
        words = self.machine.command(
            cmd, environment, terminal=is_shell, attached=not is_shell
        )
        if self.machine.name:
            params["start_new_session"] = True  # Ctrl-C at the prompt is not for it
        child = subprocess.Popen(words, env=environment, **params)
        self.run.adopt(child)
        return child

    def _entering(self) -> list[str]:
        """Return the words that let a command run on the node.

        ``mnexec -a`` would leave a chroot that the testbed runs in.
        """
        target = f"--target={self.pid}"
        return [
            "nsenter",
            target,
            "--net",
            "--mount",
            "--root",
            f"--wd={self.machine.directory}",
        ]

    def popen(self, *args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        """Start a command on the node, as Mininet's own does."""
        kwargs.setdefault("mncmd", ["mnexec", "-d", *self._entering()])
        started: subprocess.Popen[bytes] = super().popen(*args, **kwargs)
        return started

    def must(self, *argv: str, stdin: str = "") -> str:
        """Run a command on the node and return what it printed, or raise CommandFailed."""
        attached = [*self._entering(), *argv]
        try:
            return self.run.call(attached, self.environment(), stdin, self.machine)
        except CommandFailed as failure:
            raise CommandFailed(argv, failure.code, failure.stderr, self.name) from None

    def write_sysctls(self, *settings: tuple[str, int | str]) -> None:
        """Set kernel parameters of the node's namespace, by their paths below net/."""
        # /proc/sys/net shows the namespace of who looks, and the node's shell is there already.
        commands = [f"echo {value} > /proc/sys/net/{path}" for path, value in settings]
        if said := self.cmd("; ".join(commands)).strip():
            raise TopologyError(f"{self.name}: cannot set kernel parameters: {said}")

    def terminate(self) -> None:
        """End the node's shell, whatever it is doing."""
        # Mininet's own waits without a deadline for a bash that may be busy.
        if self.shell and self.shell.poll() is None:
            with suppress(ProcessLookupError):
                self.shell.send_signal(signal.SIGHUP)
            try:
                self.shell.wait(_SHELL_EXIT_S)
            except subprocess.TimeoutExpired:
                self.shell.kill()
        # Mininet keeps every node there ever was in these, by a number that is used again.
        for table in (self.inToNode, self.outToNode):
            for number in [number for number, node in table.items() if node is self]:
                del table[number]
        self.cleanup()


@dataclass(frozen=True, slots=True)
class Gateway:
    """A router that only filters play: nobody answers ARP for it, so its MAC is told."""

    ip: str
    mac: str


class VirtualMachine(RunNode, Host):
    """A virtual machine: its ``eth0`` is plugged into a representor of its hypervisor."""

    def __init__(self, name: str, run: Run | None = None, **params: Any) -> None:
        super().__init__(name, run=run, **params)
        # Before there is an interface, so that it never speaks unasked: no router
        # solicitation, no duplicate address detection, no second multicast report.
        self.write_sysctls(
            ("ipv6/conf/all/disable_ipv6", 0),
            ("ipv6/conf/default/disable_ipv6", 0),
            ("ipv6/conf/default/accept_ra", 0),
            ("ipv6/conf/default/router_solicitations", 0),
            ("ipv6/conf/default/accept_dad", 0),
            ("ipv6/conf/default/dad_transmits", 0),
            ("ipv6/conf/default/mldv2_unsolicited_report_interval", 2**31 - 1),
        )
        if not self.run.options.delay_ms:
            self.write_sysctls(("ipv4/tcp_rmem", _LOSSLESS_TCP_RMEM))

    def config(
        self,
        ip: str = "",
        ip6: str = "",
        mtu: int = 1500,
        gateway: Gateway | None = None,
        **_params: Any,
    ) -> dict[str, Any]:
        """Give ``eth0`` its addresses; both are usable on return."""
        interface = self.defaultIntf()
        lines = [
            "link set lo up",
            f"link set {interface} mtu {mtu} up",
            f"address add {ip} dev {interface}",
            f"address add {ip6} dev {interface} nodad",
        ]
        if gateway:
            neighbour = f"{gateway.ip} lladdr {gateway.mac} dev {interface}"
            lines += [
                f"neigh replace {neighbour} nud permanent",
                f"route add default via {gateway.ip}",
            ]
        self._batch(lines)
        # Mininet asks the interface, and that remembers only what it has set itself.
        interface.ip, interface.prefixLen = ip.split("/")
        # The userspace datapath reads whole packets: a checksum left to the device stays wrong.
        self.must("ethtool", "-K", str(interface), "tx", "off")
        return {}

    def _batch(self, lines: Sequence[str]) -> None:
        self.must("ip", "-batch", "-", stdin="\n".join(lines) + "\n")
