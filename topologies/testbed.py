"""A network from its description to its end: Mininet's, as one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mininet.net import Mininet
from mininet.topo import Topo

from offload import profile as profiles
from topologies import requirements, signals
from topologies.driver import Driver
from topologies.errors import BadOption
from topologies.options import RUN_DIR_ROOT, Datapath, Options
from topologies.run import Run


class Testbed(Mininet):
    """A Mininet whose nodes all belong to one run."""

    __test__ = False  # no test of pytest's, in spite of the name

    def __init__(self, topo: Topo, run: Run) -> None:
        self.run_ = run
        super().__init__(topo=topo, controller=Driver, build=False)

    @classmethod
    def init(cls) -> None:
        """Do nothing: Mininet's own raises limits of the whole machine, and leaves them so."""

    def addHost(self, name: str, cls: Any = None, **params: Any) -> Any:
        """Add a host to the network and to the run."""
        return super().addHost(name, cls=cls, run=self.run_, **params)

    def addSwitch(self, name: str, cls: Any = None, **params: Any) -> Any:
        """Add a switch to the network and to the run."""
        return super().addSwitch(name, cls=cls, run=self.run_, **params)

    def addController(
        self, name: str = "c0", controller: Any = None, **params: Any
    ) -> Any:
        """Add a controller to the network and to the run."""
        return super().addController(name, controller, run=self.run_, **params)

    def stop(self) -> None:
        """End the run: all its processes, and with them the nodes' namespaces.

        Not Mininet's way, which speaks to each node's shell: one may be busy, and
        after an exception one may be half built. A second time does nothing.
        """
        with signals.deferred():
            for node in [*self.controllers, *self.switches]:
                node.stop()
            self.run_.end_processes()
            for node in self.nameToNode.values():
                node.terminate()
            self.run_.close()


@contextmanager
def running(
    topo: Topo,
    *,
    hw_tc_offload: bool = True,
    filters: bool = True,
    udp_timeout_s: int | None = None,
    tcp_timeout_s: int | None = None,
    profile: str = profiles.DEFAULT.name,
    card: Mapping[str, int] | None = None,
    datapath: str | Datapath = Datapath.DEFAULT,
    bandwidth_mbps: float | None = None,
    delay_ms: float | None = None,
    exact_counters: bool = False,
    run_dir_root: Path = RUN_DIR_ROOT,
    keep_logs: Path | None = None,
) -> Iterator[Testbed]:
    """Run a network, ready for traffic within the block, and gone without a trace after it.

    Ready: the controller is connected, its pipeline and the topology's filters are
    in the switches, addresses are usable, the first tunnelled packet arrives.
    Gone: on success, exception, Ctrl-C, SIGTERM and SIGHUP. Raises TopologyError.
    """
    options = Options.from_words(
        hw_tc_offload=hw_tc_offload,
        filters=filters,
        udp_timeout_s=udp_timeout_s,
        tcp_timeout_s=tcp_timeout_s,
        profile=profile,
        card=card or {},
        datapath=datapath,
        bandwidth_mbps=bandwidth_mbps,
        delay_ms=delay_ms,
        exact_counters=exact_counters,
        run_dir_root=run_dir_root,
        keep_logs=keep_logs,
    )
    with running_with(topo, options) as net:
        yield net


@contextmanager
def running_with(topo: Topo, options: Options) -> Iterator[Testbed]:
    """Do as ``running`` does, with options that are already one value."""
    options = requirements.check(_decide_datapath(topo, options))
    with signals.clean_exit_on_sigterm(), ExitStack() as stack:
        with signals.deferred():
            run = Run.open(options)
            stack.callback(run.close)
        net = Testbed(topo, run)
        stack.callback(net.stop)
        net.start()
        yield net


def _decide_datapath(topo: Topo, options: Options) -> Options:
    """Return the options of a network that may be spread over machines."""
    places = [topo.nodeInfo(name).get("place") for name in topo.switches()]
    if not any(place and place.server for place in places):
        return options
    if options.datapath is Datapath.KERNEL:
        raise BadOption(
            "the driver cannot reach conntrack in another machine's kernel:"
            " hypervisors on several machines need --datapath user"
        )
    return replace(options, datapath=Datapath.USER)
