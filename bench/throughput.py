"""TCP and 64-byte UDP between vm1 and vm2, in hardware and with hw-tc-offload off.

Both networks run at the same time and take turns, so that they share what the
machine does meanwhile.  The filters' own counters say who handled the packets.

The switch has a core of its own, and sender and receiver have the others: where all three
go where the scheduler likes, on two cores, the ratio is what it happened to like. Beside
what arrives stands what it cost the switch: processor time for each packet of vm1's.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.bed import Bed, bed, until
from bench.figure import Figure, Plot, Point, check
from bench.report import number

_SERVER = "10.0.0.2"
_UDP_BYTES = 18  # with UDP, IPv4, Ethernet and its checksum: 64
_KINDS = {
    "TCP": ((), "Mbit/s", 1.2),
    "UDP, 64 bytes": (("-u", "-l", str(_UDP_BYTES), "-b", "0"), "packets/s", 1.3),
}
_MOSTLY = 0.95


def measure(quick: bool) -> Iterator[Figure | Plot]:
    """Throughput of both kinds, offloaded and not."""
    seconds, rounds = (1, 1) if quick else (4, 5)
    with bed() as on, bed(hw_tc_offload=False) as off:
        for net in (on, off):
            _give_a_core(net)
        for kind, (words, unit, target) in _KINDS.items():
            runs = [
                (_run(on, words, seconds, True), _run(off, words, seconds, False))
                for _ in range(rounds)
            ]
            hardware, software = (
                statistics.median(run.arrived for run in each)
                for each in zip(*runs, strict=True)
            )
            ratio = hardware / software
            yield Figure(
                f"throughput offloaded, {kind}",
                hardware,
                unit,
                f"software {number(software)}",
                ratio,
                f">= {target}",
                ratio >= target,
            )
            yield _switch_cost(kind, runs)
            bars: list[Point] = [("offloaded", hardware), ("software", software)]
            name = "throughput-" + kind.split(",")[0].lower()
            yield Plot(name, f"{kind} from vm1 to vm2", "", unit, {"": bars})


@dataclass(frozen=True, slots=True)
class Run:
    """What arrived a second, in the kind's unit, and what it cost the switch a packet."""

    arrived: float
    switch_us: float


def _switch_cost(kind: str, runs: list[tuple[Run, Run]]) -> Figure:
    hardware_us, software_us = (
        statistics.median(run.switch_us for run in each)
        for each in zip(*runs, strict=True)
    )
    return Figure(
        f"the switch's processor time a packet, {kind}",
        hardware_us,
        "us",
        f"software {software_us:.2f} us",
        hardware_us / software_us,
    )


def _cores() -> tuple[list[int], list[int]]:
    """The switch's, and all others; the same where there is only one."""
    first, *others = sorted(os.sched_getaffinity(0))
    return [first], others or [first]


def _give_a_core(net: Bed) -> None:
    for thread in net.switch().threads():
        os.sched_setaffinity(thread.id, _cores()[0])


def _elsewhere(*argv: str) -> list[str]:
    """A command that leaves the switch its core."""
    return ["taskset", "-c", ",".join(map(str, _cores()[1])), *argv]


def _run(net: Bed, words: tuple[str, ...], seconds: int, offloaded: bool) -> Run:
    before, began_s = _handled(net), _switch_s(net)
    with _serving(net):
        argv = ["iperf3", "-c", _SERVER, "-t", str(seconds), "-J", *words]
        ended = json.loads(net["vm1"].must(*_elsewhere(*argv)))["end"]
    hardware, software = (
        now - then for now, then in zip(_handled(net), before, strict=True)
    )
    switch_us = (_switch_s(net) - began_s) / (hardware + software) * 1e6
    share = hardware / (hardware + software)
    check(
        share > _MOSTLY if offloaded else hardware == 0,
        f"{share:.1%} of the packets in hardware",
    )
    if "-u" in words:
        arrived = ended["sum"]["packets"] - ended["sum"]["lost_packets"]
        return Run(arrived / ended["sum"]["seconds"], switch_us)
    return Run(ended["sum_received"]["bits_per_second"] / 1e6, switch_us)


def _switch_s(net: Bed) -> float:
    spent = net.switch().cpu_times()
    return float(spent.user + spent.system)


@contextmanager
def _serving(net: Bed) -> Iterator[None]:
    server = net["vm2"].popen(_elsewhere("iperf3", "-s", "-1"))
    try:
        until(
            lambda: bool(net["vm2"].must("ss", "-Hltn", "sport", "=", ":5201")),
            "iperf3's server",
            10.0,
        )
        yield
        server.wait(timeout=10.0)
    finally:
        server.kill()


def _handled(net: Bed) -> tuple[int, int]:
    """Packets of vm1 that chain 0 of hv1 has sent to conntrack: (hardware, software)."""
    shown = net["hv1"].must(
        "tc", "-s", "-j", "filter", "show", "dev", "ens1f0_0", "ingress"
    )
    hardware = software = 0
    for stats in _stats(json.loads(shown)):
        in_hardware = stats.get("hw_packets", 0)
        hardware += in_hardware
        software += stats["packets"] - in_hardware
    return hardware, software


def _stats(shown: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in shown:
        options = each.get("options", {})
        if (
            each.get("chain") == 0
            and each.get("protocol") == "ip"
            and "actions" in options
        ):
            yield options["actions"][0]["stats"]
