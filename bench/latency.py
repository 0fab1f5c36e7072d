"""From a connection's first eligible packet to its first one in hardware.

The filters differ in the two halves on purpose: of an established connection,
hardware sends vm1's packets on to vm2 (a ``skip_sw`` filter), software sends them
back.  So each packet shows by where it comes out who has handled it:

    vm1 --hello-> vm2, vm2 --answer-> vm1     the answer is the first eligible packet
    vm1 --one every STEP_S--> hv1 --hardware--> vm2    the first of these ends the wait
                                \\--software--> vm1

The peer is an OpenFlow barrier's round trip, which the driver asks for meanwhile.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.bed import Bed, Hardware, bed
from bench.figure import Figure, Plot, Point, check
from bench.frames import IPPROTO_UDP, connections, is_ip, udp
from bench.wire import Port, exchange

STEP_S = 0.0002
_BARRIER_EVERY_S = 0.02
_PATIENCE_S = 5.0
_MEDIAN, _WORST = 5.0, 20.0  # times a barrier's round trip
_WARM_UP = 5
_NUMBER_BYTES = 4
_DATA_AT = 42  # behind Ethernet, IPv4 and UDP

_FILTERS = """\
filter add dev ens1f0_0 ingress prio 1 chain 0 proto ip flower ct_state -trk \
action ct pipe action goto chain 1
filter add dev ens1f0_0 ingress prio 1 chain 1 proto ip flower skip_sw ct_state +trk+est \
action mirred egress redirect dev ens1f0_1
filter add dev ens1f0_0 ingress prio 2 chain 1 proto ip flower ct_state +trk+new \
action ct commit pipe action mirred egress redirect dev ens1f0_1
filter add dev ens1f0_0 ingress prio 3 chain 1 proto ip flower ct_state +trk+est \
action mirred egress redirect dev ens1f0_0
filter add dev ens1f0_1 ingress prio 1 chain 0 proto ip flower ct_state -trk \
action ct pipe action goto chain 1
filter add dev ens1f0_1 ingress prio 1 chain 1 proto ip flower ct_state +trk+est \
action mirred egress redirect dev ens1f0_0
"""


@dataclass(frozen=True, slots=True)
class Load:
    """So many new connections a second, for so long; one in ``probe_every`` is timed."""

    name: str
    per_s: int
    seconds: float
    probe_every: int


def measure(quick: bool) -> Iterator[Figure | Plot]:
    """At rest, and under new connections."""
    seconds = 2.0 if quick else 10.0
    curves = {}
    for load in (
        Load("at rest", 20, seconds, 1),
        Load("at 1,000 new connections/s", 1_000, seconds, 25),
    ):
        with bed(filters=False, udp_timeout_s=300) as net:
            net["hv1"].must("tc", "-batch", "-", stdin=_FILTERS)
            waits, barriers = probe(net, load)
        yield from _figures(load, waits, barriers)
        curves[load.name] = _cumulated(waits)
        curves[f"barrier {load.name}"] = _cumulated(barriers)
    yield Plot(
        "latency",
        "First eligible packet to first hardware hit",
        "milliseconds",
        "share of connections",
        curves,
        log_x=True,
    )


def _figures(
    load: Load, waits: list[float], barriers: list[float]
) -> Iterator[Figure | Plot]:
    for which, share, most in (
        ("median", 0.5, _MEDIAN),
        ("99th percentile", 0.99, _WORST),
    ):
        wait_ms, barrier_ms = (
            _quantile(waits, share) * 1e3,
            _quantile(barriers, share) * 1e3,
        )
        ratio = wait_ms / barrier_ms
        yield Figure(
            f"offload latency {load.name}, {which} of {len(waits)}",
            wait_ms,
            "ms",
            f"barrier {barrier_ms:.2f} ms",
            ratio,
            f"<= {most:.0f}",
            ratio <= most,
        )


def _quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[
        round(share * 100) - 1
    ]


def _cumulated(values: list[float]) -> list[Point]:
    return [
        (value * 1e3, number / len(values))
        for number, value in enumerate(sorted(values), 1)
    ]


def probe(net: Bed, load: Load) -> tuple[list[float], list[float]]:
    """Seconds that timed connections waited, and that barriers took meanwhile."""
    barriers: list[float] = []
    asking = threading.Thread(
        target=lambda: barriers.extend(
            net.ask("bench_barriers", seconds=load.seconds, every_s=_BARRIER_EVERY_S)[
                "took_s"
            ]
        )
    )
    with net.hardware() as switch, net.port("vm1") as vm1, net.port("vm2") as vm2:
        run = _Run(net, load, vm1, vm2)
        asking.start()
        run.run()
        asking.join()
        _settle(switch, load, run)
    return [run.waited_s[number] for number in sorted(run.waited_s)][
        _WARM_UP:
    ], barriers


def _settle(switch: Hardware, load: Load, run: _Run) -> None:
    count = round(load.per_s * load.seconds)
    timed = len(range(0, count, load.probe_every))
    check(
        len(run.waited_s) == timed, f"{len(run.waited_s)} of {timed} came to hardware"
    )
    run.answer_again()  # whose copy was dropped is offered by its next packet
    switch.wait_for(count)


@dataclass(slots=True)
class _Run:
    """One thread that is all virtual machines, for as long as the load lasts."""

    net: Bed
    load: Load
    vm1: Port
    vm2: Port
    answered_s: dict[int, float] = field(default_factory=dict)
    waited_s: dict[int, float] = field(default_factory=dict)
    _next_s: dict[int, float] = field(default_factory=dict)
    _greetings: list[bytes] = field(default_factory=list)
    _answers: list[bytes] = field(default_factory=list)
    _data: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        here, there = self.net.end("vm1"), self.net.end("vm2")
        count = round(self.load.per_s * self.load.seconds)
        for number, flow in enumerate(connections(here, there, IPPROTO_UDP, count)):
            name = number.to_bytes(_NUMBER_BYTES, "big")
            self._greetings.append(udp(here, there, flow, name + b"hello"))
            self._answers.append(udp(there, here, flow.inverted(), name))
            if number % self.load.probe_every == 0:
                self._data[number] = udp(here, there, flow, name + b"data")

    def run(self) -> None:
        """Send and receive until every timed connection was seen in hardware."""
        count, began_s, started = len(self._greetings), time.monotonic(), 0
        deadline_s = began_s + self.load.seconds + _PATIENCE_S
        while started < count or len(self.waited_s) < len(self._data):
            now_s = time.monotonic()
            if now_s > deadline_s:
                return
            if started < count and now_s >= began_s + started / self.load.per_s:
                self.vm1.send(self._greetings[started])
                started += 1
            self._go_on(now_s)
            begins_s = (
                began_s + started / self.load.per_s if started < count else deadline_s
            )
            self.vm2.wait(
                max(min(begins_s, *self._next_s.values(), deadline_s) - now_s, 0)
            )
            self._receive()

    def answer_again(self) -> None:
        """Another packet of each."""
        exchange(self.vm2, self.vm1, self._answers, wanted=is_ip)

    def _receive(self) -> None:
        for frame in self.vm2.arrived():
            if not is_ip(frame):
                continue
            number = int.from_bytes(frame[_DATA_AT : _DATA_AT + _NUMBER_BYTES], "big")
            now_s = time.monotonic()
            if number not in self.answered_s:
                self.answered_s[number] = now_s
                self.vm2.send(self._answers[number])
                if number in self._data:
                    self._next_s[number] = now_s + STEP_S
            elif self._next_s.pop(number, None):
                self.waited_s[number] = now_s - self.answered_s[number]
        for _ in self.vm1.arrived():
            pass

    def _go_on(self, now_s: float) -> None:
        for number, due_s in self._next_s.items():
            if now_s >= due_s:
                self.vm1.send(self._data[number])
                self._next_s[number] = now_s + STEP_S
