"""A hypervisor: a namespace with its own Open vSwitch, and the user's tc.

        vm1's eth0    vm2's eth0
            |             |
        ens1f0_0      ens1f0_1          representors
     +------+-------------+---------+
     |  br-int     the pipeline     |   the controller's, by OpenFlow
     +------+-----------------------+
         vxlan0                         VXLAN inside of Open vSwitch
            :    UDP port 4789
     +------+-----------------------+
     |  br-ens1f0, 7.7.7.7          |   an ordinary learning switch
     +------+-----------------------+
         ens1f0                         uplink, to the underlay

First on the node's PATH are ``tc``, ``conntrack``, ``devlink`` and ``ethtool`` of the
testbed, which ask the controller (see ``topologies/shim/shim.py``).
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from mininet.node import Switch

from topologies import ambient
from topologies.driver import Driver
from topologies.errors import CommandFailed, TopologyError
from topologies.nodes import RunNode
from topologies.options import FLOW_TABLE_TIMEOUT_S, Datapath
from topologies.ovs import OpenVSwitch
from topologies.placement import Place
from topologies.run import Run
from topologies.underlay import UplinkIntf
from topologies.waiting import PATIENCE, wait_until

BRIDGE = "br-int"
TUNNEL = "vxlan0"
_KERNELS_TUNNEL = "vxlan_sys_4789"  # what Open vSwitch calls the device behind TUNNEL
_SHIM = Path(__file__).resolve().parent / "shim" / "shim.py"
_SHIMMED = ("tc", "conntrack", "devlink", "ethtool", "why-not")
# Filters set both keys and the remote address (tunnel_key set): the port itself has none.
# What tc has encapsulated may be fragmented.
_TUNNEL_OPTIONS = (
    *("remote_ip=flow", "key=flow", "dst_port=4789", "csum=true"),
    "df_default=false",
)
_READY_S = 10.0
# Open vSwitch forgets a datapath flow that was silent for so long, its least. A flow kept
# is translated anew at each change of any table: see docs/performance.md.
_IDLE_MS = 500
# With the openvswitch module every namespace's own packets are tracked (nf_conncount_init holds
# conntrack's hooks). The tunnels' outer ones are not, as is usual where flows are offloaded.
_UNTRACKED_TUNNELS = """
table inet raw {
    chain prerouting { type filter hook prerouting priority raw; udp dport 4789 notrack; }
    chain output { type filter hook output priority raw; udp dport 4789 notrack; }
}
"""


class Hypervisor(RunNode, Switch):
    """A hypervisor with one uplink; every other interface is a representor.

    ``tunnel_ip`` is the tunnels' address with its prefix, ``tunnel_mac`` that of
    the interface that has it, ``filters`` a file for ``tc -batch``, or what is in one. With
    a ``place`` the uplink is there from the start; without, it is a link of the topology's.
    """

    def __init__(
        self,
        name: str,
        run: Run | None = None,
        *,
        tunnel_ip: str,
        tunnel_mac: str,
        uplink: str = "ens1f0",
        filters: Path | str | None = None,
        place: Place | None = None,
        **params: Any,
    ) -> None:
        self.tunnel_ip = IPv4Interface(tunnel_ip)
        self.tunnel_mac = tunnel_mac
        self.uplink = uplink
        self.filters = filters
        # The node's shell starts in Node.__init__, with all this in its environment.
        run = run or ambient.current()
        self.directory = run.directory / name
        server = place.server if place else ""
        self.ovs = OpenVSwitch(self.directory, run, self._spawn, run.machine(server))
        self.peers: Sequence[Hypervisor] = ()
        self._attached = False
        super().__init__(
            name, run=run, server=server, **{**params, "inNamespace": True}
        )
        self.write_sysctls(
            ("ipv6/conf/all/disable_ipv6", 1),
            ("ipv6/conf/default/disable_ipv6", 1),
            ("ipv4/ip_forward", 0),
        )
        if place:
            self._join(place)

    def _join(self, place: Place) -> None:
        """Make the uplink of the machine's own interface."""
        # In bridge mode it is given what is sent to its address, so that is the tunnels'.
        uplink = ["name", self.uplink, "address", self.tunnel_mac]
        words = ["link", place.underlay, *uplink, "netns", str(self.pid)]
        kind = ["type", "macvlan", "mode", "bridge"]
        argv = ["ip", "link", "add", *words, *kind]
        try:
            self.run.call(argv, machine=self.machine)
        except CommandFailed as failure:
            raise CommandFailed(argv, failure.code, failure.stderr, self.name) from None
        UplinkIntf(self.uplink, node=self, moveIntfFn=lambda *_: None, delays=True)

    @property
    def physical_bridge(self) -> str:
        """The bridge of the uplink; its own port has the tunnels' address."""
        return f"br-{self.uplink}"

    @property
    def representors(self) -> list[str]:
        """The hypervisor's ends of the virtual machines' interfaces."""
        return [name for name in self.intfNames() if name != self.uplink]

    @property
    def _on_kernel(self) -> bool:
        """Is the datapath the kernel's? Then conntrack is the namespace's, too."""
        return self.run.options.datapath is Datapath.KERNEL

    def environment(self, given: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of what runs on this node: the shims first, this Open vSwitch."""
        environment = super().environment(given)
        environment.update(
            self.ovs.environment,
            PATH=f"{self.directory / 'bin'}:{environment['PATH']}",
            CT_OFFLOAD_CONTROL=str(self.run.control_socket),
            CT_OFFLOAD_HYPERVISOR=self.name,
        )
        return environment

    def start(self, controllers: Sequence[Driver]) -> None:
        """Begin to start; ``batchStartup``, with all of them at a time, does the rest."""
        if not controllers or not isinstance(controllers[0], Driver):
            raise TopologyError(f"{self.name} needs the controller ct_offload")
        self.driver = controllers[0]
        self.ovs.start_database()

    @classmethod
    def batchStartup(cls, hypervisors: Sequence[Hypervisor]) -> Sequence[Hypervisor]:
        """Bring hypervisors up until their filters are loaded.

        Step by step for all, so that what the daemons of one do, those of another do meanwhile.
        """
        for hypervisor in hypervisors:
            hypervisor.peers = [
                other for other in hypervisors if other is not hypervisor
            ]
            hypervisor.configure_switch()
        for hypervisor in hypervisors:
            hypervisor.configure_interfaces()
        for hypervisor in hypervisors:
            hypervisor.attach()
        for hypervisor in hypervisors:
            hypervisor.finish()
        return hypervisors

    def configure_switch(self) -> None:
        """Write the whole configuration of Open vSwitch, then start ovs-vswitchd on it."""
        if self._on_kernel:
            self.must("nft", "-f", "-", stdin=_UNTRACKED_TUNNELS)
        self.ovs.wait_for_database()
        switch = ("--", "set", "Open_vSwitch", ".", f"other_config:max-idle={_IDLE_MS}")
        self.ovs.vsctl(
            "--no-wait", "init", *switch, *self._bridges(), *self._datapath()
        )
        self.ovs.start_switch()

    def _bridges(self) -> list[str]:
        kind = f"datapath_type={self.run.options.datapath.ovs_type}"
        physical = self.physical_bridge
        words = ["--", "add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, kind]
        words += ["fail_mode=secure", "protocols=OpenFlow13"]
        words += [
            f"other_config:datapath-id={self.dpid}",
            "other_config:disable-in-band=true",
        ]
        for port, name in enumerate(self.representors, start=1):
            words += ["--", "add-port", BRIDGE, name]
            words += ["--", "set", "Interface", name, f"ofport_request={port}"]
        words += [
            "--",
            "add-port",
            BRIDGE,
            TUNNEL,
            "--",
            "set",
            "Interface",
            TUNNEL,
            "type=vxlan",
        ]
        words += [f"options:{option}" for option in _TUNNEL_OPTIONS]
        words += ["--", "add-br", physical, "--", "set", "Bridge", physical, kind]
        # The kernel sees frames on the uplink too, and must not take the tunnels' for its own.
        words += ["fail_mode=standalone", f'other_config:hwaddr="{self.tunnel_mac}"']
        return [*words, "--", "add-port", physical, self.uplink]

    def _datapath(self) -> list[str]:
        """A row for the datapath: conntrack's zones and their timeouts hang on it."""
        kind = self.run.options.datapath.ovs_type
        row = [
            "--",
            "--id=@datapath",
            "create",
            "Datapath",
            "datapath_version=ct-offload",
        ]
        return [*row, "--", "set", "Open_vSwitch", ".", f"datapaths:{kind}=@datapath"]

    def configure_interfaces(self) -> None:
        """Bring all interfaces up and make the way through the tunnels known."""
        self.ovs.wait_for_switch()
        physical = self.physical_bridge
        lines = ["link set lo up", f"link set {physical} up"]
        lines += [f"address replace {self.tunnel_ip} dev {physical}"]
        # What tc passes to the stack can be seen on br-int; the stack itself must stay silent.
        ports = [BRIDGE, self.uplink, *self.representors]
        lines += [f"link set {name} up arp off" for name in ports]
        lines += [
            f"neigh replace {peer.tunnel_ip.ip} lladdr {peer.tunnel_mac}"
            f" dev {physical} nud permanent"
            for peer in self.peers
        ]
        self.must("ip", "-batch", "-", stdin="\n".join(lines) + "\n")
        if self._on_kernel:
            # A NIC counts what is on the wire; the kernel would join packets before ours does.
            self.must("ethtool", "-K", _KERNELS_TUNNEL, "gro", "off")
        else:
            self._configure_userspace_datapath()
        for interface in self.intfList():
            if isinstance(interface, UplinkIntf):
                interface.shape_again()

    def _configure_userspace_datapath(self) -> None:
        """Tell Open vSwitch what the kernel would know: routes, neighbours, open windows."""
        self.ovs.appctl("dpctl/ct-disable-tcp-seq-chk")
        network = str(self.tunnel_ip.network)
        wait_until(
            lambda: network in self.ovs.appctl("ovs/route/show"),
            _READY_S,
            f"route of {self.name}",
        )
        # It would ask by ARP, and drop the packet that made it ask; after an idle hour, it will.
        self.ovs.appctl("tnl/neigh/aging", "3600")
        for peer in self.peers:
            address = str(peer.tunnel_ip.ip)
            self.ovs.appctl(
                "tnl/neigh/set", self.physical_bridge, address, peer.tunnel_mac
            )

    def attach(self) -> None:
        """Tell the controller about this hypervisor, and the switch about the controller."""
        options = self.run.options
        self.driver.ask(
            "attach",
            hypervisor=self.name,
            dpid=self.dpid,
            ovs_dir=str(self.ovs.directory),
            uplink=self.uplink,
            devices={
                **dict.fromkeys(self.representors, "representor"),
                TUNNEL: "tunnel",
            },
            netns=f"/proc/{self.pid}/ns/net" if self._on_kernel else "",
            hw_tc_offload=options.hw_tc_offload,
            tcp_timeout_s=options.tcp_timeout_s or FLOW_TABLE_TIMEOUT_S,
            udp_timeout_s=options.udp_timeout_s or FLOW_TABLE_TIMEOUT_S,
            profile=options.profile,
            card=dict(options.card),
            exact_counters=options.exact_counters,
        )
        # ovs-vswitchd connects to no socket outside of its own directory (vswitchd/bridge.c:
        # bridge_configure_remotes), but follows a link that is in it.
        socket = self.run.openflow_socket
        self.machine.place_links(self.ovs.directory, {socket.name: socket})
        link = self.ovs.directory / socket.name
        backoff = [
            "--",
            "set",
            "Controller",
            BRIDGE,
            "max_backoff=1000",
            "inactivity_probe=0",
            # Copies beyond it are dropped; the most there may be (usually 100).
            "controller_queue_size=512",
        ]
        self.ovs.vsctl("--no-wait", "set-controller", BRIDGE, f"unix:{link}", *backoff)

    def finish(self) -> None:
        """Wait until the pipeline is in the switch, give the user tc, load the filters."""
        self._wait_for_pipeline()
        self._attached = True
        self._install_shims()
        if self.filters and self.run.options.filters:
            self._load(self.filters)

    def _load(self, filters: Path | str) -> None:
        if isinstance(filters, Path):
            self.must("tc", "-batch", str(filters))
        else:
            self.must("tc", "-batch", "-", stdin=filters)

    def _wait_for_pipeline(self) -> None:
        timeout_s = _READY_S * PATIENCE
        self.driver.ask("wait_ready", hypervisor=self.name, timeout_s=timeout_s)

    def _install_shims(self) -> None:
        """Put the testbed's tools first on PATH; until now, the system's were."""
        # Links, for /run may be mounted noexec; that counts where the link leads.
        links = dict.fromkeys(_SHIMMED, _SHIM)
        self.machine.place_links(self.directory / "bin", links)
        # The shell remembers where it has found a command.
        self.cmd("hash -r")

    def restart_switch(self) -> None:
        """Stop ovs-vswitchd and start it again; returns when the pipeline is back."""
        self.ovs.stop_switch()
        self.ovs.start_switch()
        self.configure_interfaces()
        self._wait_for_pipeline()

    def connected(self) -> bool:
        """Tell Mininet whether the controller has this hypervisor."""
        return self._attached

    def stop(self, deleteIntfs: bool = True) -> None:
        """Stop Open vSwitch; the interfaces end with the namespace."""
        self.ovs.stop()

    def _spawn(self, argv: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
        with open(output, "wb") as log:
            child: subprocess.Popen[bytes] = self.popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        return child
