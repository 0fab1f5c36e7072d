"""Networks of hypervisors on one machine, for connection-tracking offload.

    import topologies
    from topologies.two_hypervisors import TwoHypervisors

    with topologies.running(TwoHypervisors()) as net:
        print(net["hv1"].cmd("tc -s filter show dev ens1f0_0 ingress"))
        net["vm1"].popen(["ping", "-c", "1", "10.0.0.3"]).wait()

A description (a Mininet ``Topo``) names nodes of these kinds and their links;
``running`` makes it a network. All of it belongs to one run:

     two_hypervisors  a description, its prompt, its names for ``mn``; so are
        |             leaf_spine, nat_gateway, two_zones
     parts, prompt    what descriptions are put together of; Mininet's prompt on one
        |
     testbed          running(): description -> network -> nothing
        |
     +--+-----------+--------------+-----------+
     hypervisor     nodes          underlay    driver           Mininet's nodes
     namespace,     VirtualMachine bridge,     the controller
     shims, filters eth0           uplinks     process
     |   |                                     |
     |  ovs         daemons of its own         control          its Unix socket
     |
     run              directory, lock, mark on processes; removes what dead runs left
     processes        /proc: who belongs to a run; ending them by pidfd

    placement         which machine a hypervisor lives on
    machine           commands on this machine, or on another over SSH
    agent             a run's part on another machine
    ambient           the run when ``mn``, not ``running``, builds the network
    requirements      what the machine must have, asked before anything is built
    options, signals, waiting, errors
    shim/             tc, conntrack and ethtool as a hypervisor's user meets them
    filters/          files for ``tc -batch``, loaded through the shim

Nothing is made in the machine's own network namespace: Mininet makes each veth
pair directly between two nodes' namespaces, and a namespace lives as long as its
processes. So a network ends when its processes do, and each carries the run's id in
its environment: that is how they are found, even by the next start after ``kill -9``.

On disk a run is one directory below /run/ct-offload, which it holds a lock on.
"""

from pathlib import Path

from topologies.errors import TopologyError
from topologies.options import Datapath, Options
from topologies.testbed import running

FILTERS = Path(__file__).resolve().parent / "filters"
"""Where the ready-made topologies have their ``.tc`` files."""

__all__ = ["FILTERS", "Datapath", "Options", "TopologyError", "running"]
