"""A hypervisor's own Open vSwitch daemons, beside OpenFlow: appctl and vsctl."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eventlet.green import socket, subprocess

from controller.rules import Table
from controller.tunnels import Outer

BRIDGE = "br-int"
_TIMEOUT_S = 10.0
_READ_BYTES = 65536
_FIRST_LOOK_S = 0.01

_SMALLEST_FRAGMENT = "400"  # OVS takes no lower limit
_ANY_TIMEOUT = "udp_first=60"

# The kernel's defaults (nf_conntrack_proto_tcp.c, _udp.c), so that connections
# in software live as long as there.  A connection that may be offloaded must
# outlive its entry: act_ct deletes an established UDP one itself.
_ZONE_TIMEOUTS_S = {
    "tcp_syn_sent": 120,
    "tcp_syn_recv": 60,
    "tcp_established": 432000,
    "tcp_fin_wait": 120,
    "tcp_close_wait": 60,
    "tcp_last_ack": 30,
    "tcp_time_wait": 120,
    "tcp_close": 10,
    "udp_first": 30,
    "udp_single": 30,
    "udp_multiple": 86400,
    "icmp_first": 30,
    "icmp_reply": 30,
}


class OvsError(Exception):
    """A daemon did not answer, or said no."""


class Ovs:
    """The daemons whose sockets are in ``directory``."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def appctl(self, command: str, *arguments: str) -> str:
        """Run an ovs-vswitchd command over its JSON-RPC socket.

        Source: OVS lib/unixctl.c
        """
        with self._asked(command, *arguments) as channel:
            return _result(command, _answer(channel))

    def coverage(self, counter: str) -> int:
        """How often something has happened in the daemon.  Source: OVS lib/coverage.c"""
        return int(self.appctl("coverage/read-counter", counter))

    def credit_counters(self, look: Callable[[], None], rounds: int = 1) -> None:
        """Return when the datapath's counters have been credited to rules.

        A round ends when OVS has been through its datapath flows.  The first may have
        been under way, and past a flow whose packets counted since: a second has not.
        """
        for _ in range(rounds):
            self._look_through(look)

    def forget_flows(self) -> None:
        """Remove all datapath flows, credited: packets make them anew.

        Where rules change, OVS changes its flows in place, and finds each by a packet
        of its own: where two overlap (one was made when fewer rules were there) that
        may be the other one, so that the first stays as older rules made it.
        Source: OVS 3.1 lib/dpif-netdev.c:flow_put_on_pmd
        """
        self.appctl("revalidator/purge")

    def _look_through(self, look: Callable[[], None]) -> None:
        """Wait until OVS is at the end of its datapath flows.

        It goes through them every half second or when rules change: ``look``
        changes one.  If that was over before the wait began, once more.
        """
        patience_s = _FIRST_LOOK_S
        with self._asked("revalidator/wait") as channel:
            while patience_s < _TIMEOUT_S:
                look()
                channel.settimeout(patience_s)
                try:
                    _answer(channel)
                    return
                except TimeoutError:
                    patience_s *= 2
        raise OvsError("revalidator/wait: no answer")

    def _control_socket(self) -> Path:
        """The socket of the daemon there is: one that crashed has left its own."""
        try:
            pid = (self._directory / "ovs-vswitchd.pid").read_text().strip()
        except FileNotFoundError as error:
            raise OvsError(f"no ovs-vswitchd in {self._directory}") from error
        return self._directory / f"ovs-vswitchd.{pid}.ctl"

    @contextmanager
    def _asked(self, command: str, *arguments: str) -> Iterator[socket.socket]:
        """A channel on which a command was sent."""
        control = self._control_socket()
        request = {"id": 0, "method": command, "params": list(arguments)}
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(_TIMEOUT_S)
            try:
                channel.connect(str(control))
                channel.sendall(json.dumps(request).encode())
                yield channel
            except OSError as error:
                raise OvsError(f"{command}: {error}") from error

    def vsctl(self, *arguments: str) -> str:
        """Ask or change the database; a change has been taken over on return."""
        database = f"--db=unix:{self._directory / 'db.sock'}"
        argv = ["ovs-vsctl", database, f"--timeout={_TIMEOUT_S:.0f}", *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OvsError(f"{' '.join(argv)}: {done.stderr.strip()}")
        return str(done.stdout)

    def prepare(self) -> None:
        """Set what the pipeline relies on and OVS does not keep over a restart.

        Conntrack does not see what hardware forwards, so sequence numbers jump.
        Model: act_ct makes the one connection liberal that it offloads, this
        all of the userspace datapath's; the kernel's has a sysctl.
        Model: fragments shorter than 400 bytes, but for the last, are invalid.
        """
        self._name_tables()
        if self._is_netdev():
            self.appctl("dpctl/ct-disable-tcp-seq-chk")
            for family in ("v4", "v6"):
                self.appctl("dpctl/ipf-set-min-frag", family, _SMALLEST_FRAGMENT)

    def _name_tables(self) -> None:
        """Give the tables their names, for ``ovs-ofctl dump-flows --names``."""
        created: list[str] = []
        named = []
        for table in Table:
            name = table.name.lower()
            created += ["--", f"--id=@{name}", "create", "Flow_Table", f"name={name}"]
            named.append(f"{table.value}=@{name}")
        tables = f"flow_tables={','.join(named)}"
        self.vsctl(*created[1:], "--", "set", "Bridge", BRIDGE, tables)

    def prepare_zone(self, zone: int) -> None:
        """Give a zone the kernel's timeouts.

        In two steps: OVS 3.5 takes a policy over only when a zone's changes.
        """
        kind = "netdev" if self._is_netdev() else "system"
        self.vsctl("--may-exist", "add-zone-tp", kind, f"zone={zone}", _ANY_TIMEOUT)
        datapath = self.vsctl("get", "Open_vSwitch", ".", f"datapaths:{kind}").strip()
        row = self.vsctl("get", "Datapath", datapath, f"ct_zones:{zone}").strip()
        timeouts = ",".join(f"{name}={s}" for name, s in _ZONE_TIMEOUTS_S.items())
        self.vsctl(
            "--id=@policy",
            "create",
            "CT_Timeout_Policy",
            f"timeouts={{{timeouts}}}",
            "--",
            "set",
            "CT_Zone",
            row,
            "timeout_policy=@policy",
        )

    def add_sender(self, outer: Outer) -> int:
        """The OpenFlow port of a tunnel port that only sends, made if it is not there."""
        name = outer.port_name
        options = [f"options:{key}={value}" for key, value in outer.options.items()]
        interface = ["set", "Interface", name, "type=vxlan", *options]
        self.vsctl("--may-exist", "add-port", BRIDGE, name, "--", *interface)
        return int(self.vsctl("get", "Interface", name, "ofport"))

    def _is_netdev(self) -> bool:
        return "netdev@" in self.appctl("dpif/show")


def _result(command: str, answer: dict[str, object]) -> str:
    if answer.get("error"):
        raise OvsError(f"{command}: {str(answer['error']).strip()}")
    return str(answer.get("result") or "")


def _answer(channel: socket.socket) -> dict[str, object]:
    received = bytearray()
    while True:
        piece = channel.recv(_READ_BYTES)
        received += piece
        if not piece:
            raise OvsError("ovs-vswitchd closed the connection")
        if received.endswith(b"}"):
            try:
                answer: dict[str, object] = json.loads(received)
                return answer
            except json.JSONDecodeError:
                continue
