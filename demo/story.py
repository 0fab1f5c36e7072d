"""The acts in their order, on one network."""

from __future__ import annotations

import platform
import re
import time

import topologies
from demo.acts import comparison, filters, icmp, network, tcp, udp
from demo.measure import Meter
from demo.report import Report
from demo.screen import Screen, Style
from demo.stage import Stage
from topologies import Options, requirements
from topologies.placement import Placement
from topologies.two_hypervisors import TwoHypervisors

TITLE = "Connection tracking offload: the cover letter, with real packets"


def tell(
    screen: Screen,
    report: Report,
    *,
    hardware: bool,
    udp_timeout_s: int,
    placement: Placement,
) -> None:
    """Tell the story from beginning to end; raises DemoError and TopologyError."""
    topo = TwoHypervisors(placement=placement)
    requirements.check(Options())
    screen.line(screen.paint(TITLE, Style.STRONG))
    screen.heading("1  Two hypervisors")
    screen.moving("  starting ...")
    began_s = time.monotonic()
    with topologies.running(
        topo,
        hw_tc_offload=hardware,
        udp_timeout_s=udp_timeout_s,
    ) as net:
        took_s = time.monotonic() - began_s
        meter = Meter(net.run_.control_socket)
        stage = Stage(net, screen, report, meter, hardware, udp_timeout_s)
        report.versions = _versions(stage)
        _acts(stage, took_s)
        ended_s = time.monotonic()
    screen.line()
    screen.paragraph(f"Taken down in {time.monotonic() - ended_s:.1f} s.")
    report.complete = True


def _acts(stage: Stage, took_s: float) -> None:
    heading = stage.screen.heading
    network.show(stage, took_s)
    heading("2  The filters")
    filters.show(stage)
    tcp.show(stage)
    heading("6  A UDP flow that ages out")
    udp.show(stage)
    heading("7  ICMP echo")
    icmp.show(stage)
    heading("8  With the hardware switched off")
    comparison.show(stage)


def _versions(stage: Stage) -> dict[str, str]:
    printed = stage.must("hv1", "ovs-vsctl --version", show=False)
    found = re.search(r"\d+(\.\d+)+", printed)
    return {
        "ovs": found[0] if found else printed.strip(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
