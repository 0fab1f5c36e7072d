"""What a live connection costs, and what one more does where there are many.

The live ones are made in the switch's conntrack and offered to act_ct as their copies
would; then real packets offload, age and tear down others beside them:

    UDP   greeting, answer         -> offloaded, and silent for 5 s: aged
    TCP   handshake (3), FIN       -> offloaded, torn down

Costs are processor time: the controller's own clock, and ovs-vswitchd's, less what
both use in the same time when nothing happens; and of the controller's, what goes into
handling what the switch told. The rest of it is waking up and reading. Each is the
median of some rounds. How much an event shares with others, and what it finds in the
processor's caches, depends on how they come, and where the switch has much to look
through they come in smaller batches: so there is also one event at a time, at a pace that
the switch can keep however many there are.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

from bench.bed import Bed, Hardware, bed, until
from bench.figure import Figure, Plot, Point, check
from bench.frames import (
    ACK,
    FIN,
    IPPROTO_TCP,
    IPPROTO_UDP,
    SYN,
    connections,
    is_ip,
    tcp,
    udp,
)
from bench.wire import Port, exchange
from offload.conntrack import FlowTuple

_UDP_TIMEOUT_S = 5  # all must be in before the first goes
_LONG_S = 65_000
_AT_A_TIME = 1_000  # what it takes to make them must not count as what they take
_OTHERS = 10_000_000  # the numbers of connections that come and go
_MOST_AT_ONCE = 1_000
_FEW, _PACE_S = 50, 0.05  # all must be in before the first ages
_MOST_BYTES = 1536
_MOST_CPU = 0.03
_FLAT = 1.2
_CALM, _LOOKS = 0.02, 5
_ALONE = " alone"
_EVENTS = (
    *("offload", "teardown", "aging"),
    *(f"{name}{_ALONE}" for name in ("offload", "teardown")),
)
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of processor time an event takes, and how many batches it came in."""

    controller_us: float
    handling_us: float
    batches: float
    switch_us: float

    @classmethod
    def median(cls, costs: Iterable[Cost]) -> Cost:
        """Of each figure for itself."""
        return cls(*(median(each) for each in zip(*map(astuple, costs))))


@dataclass(slots=True)
class _Cpu:
    """Processor time of controller and switch since it was made."""

    net: Bed
    began: _Clocks

    @classmethod
    def of(cls, net: Bed) -> _Cpu:
        """Begin to measure."""
        return cls(net, _clocks(net))

    def used(self) -> _Clocks:
        """What has been used since."""
        now = _clocks(self.net)
        return _Clocks(*(after - before for before, after in zip(self.began, now)))


class _Clocks(NamedTuple):
    """Seconds, and batches that the controller handled."""

    controller_s: float
    handling_s: float
    batches: float
    switch_s: float
    wall_s: float


def _clocks(net: Bed) -> _Clocks:
    switch, driver = net.switch().cpu_times(), net.ask("bench_cpu")
    return _Clocks(
        driver["cpu_s"],
        driver["handled_s"],
        driver["batches"],
        switch.user + switch.system,
        time.monotonic(),
    )


def measure(quick: bool) -> Iterator[Figure | Plot]:
    """At 1k, 10k, 100k and 200k live connections."""
    counts = (500, 2_000) if quick else (1_000, 10_000, 100_000, 200_000)
    events, rounds = (200, 1) if quick else (_MOST_AT_ONCE, 3)
    memory: list[Point] = []
    costs: dict[str, list[tuple[int, Cost]]] = {name: [] for name in _EVENTS}
    idle = Idle(0.0, 0.0)
    with bed(tcp_timeout_s=_LONG_S, udp_timeout_s=_UDP_TIMEOUT_S) as net:
        net.ask("bench_time_handling")
        with net.hardware() as switch, net.port("vm1") as vm1, net.port("vm2") as vm2:
            _come_and_go(
                _Others(net, switch, vm1, vm2, 0, events // 4, _idle(net, 1.0))
            )
            began = net.controller.memory_info().rss
            live, numbers = 0, itertools.count(1)
            for count in counts:
                _make(net, live, count - live)
                switch.check(live := count)
                idle = _idle(net, 2.0 if quick else 8.0)
                grown = net.controller.memory_info().rss - began
                memory.append((count, grown / count))
                others = partial(_Others, net, switch, vm1, vm2, live)
                came_and_went = [
                    _come_and_go(others(events, idle, next(numbers)))
                    | _come_and_go(others(_FEW, idle, next(numbers)), _PACE_S)
                    for _ in range(rounds)
                ]
                for name, events_costs in costs.items():
                    cost = Cost.median(each[name] for each in came_and_went)
                    events_costs.append((count, cost))
    yield from _memory_figures(memory, quick)
    yield Figure(
        f"controller with {counts[-1]:,} live connections and no event",
        idle.controller * 100,
        "% of a core",
        target="< 3 %",
        met=idle.controller < _MOST_CPU,
    )
    for name, found in costs.items():
        yield from _cost_figures(name, found)
    for who in ("controller", "switch"):
        yield Plot(
            f"cost-{who}",
            f"The {who}'s processor time of one event",
            "live connections",
            "microseconds",
            {
                name: [(count, getattr(cost, f"{who}_us")) for count, cost in found]
                for name, found in costs.items()
            },
            log_x=True,
            log_y=True,
        )


def _memory_figures(memory: list[Point], quick: bool) -> Iterator[Figure | Plot]:
    for count, octets in memory[-1:] if quick else memory[1:]:
        yield Figure(
            f"controller's memory at {count:,} connections",
            octets,
            "bytes each",
            target=f"<= {_MOST_BYTES:,}",
            met=octets <= _MOST_BYTES,
        )
    yield Plot(
        "memory",
        "The controller's memory",
        "live connections",
        "bytes a connection",
        {"": memory},
        log_x=True,
        target=_MOST_BYTES,
    )


def _cost_figures(name: str, found: list[tuple[int, Cost]]) -> Iterator[Figure | Plot]:
    (few, first), rest = found[0], found[1:]
    for count, cost in rest:
        ratio = cost.controller_us / first.controller_us
        yield Figure(
            f"one {name} at {count:,}, controller (switch: {cost.switch_us:.0f} us)",
            cost.controller_us,
            "us",
            f"at {few:,} {first.controller_us:.0f} us (switch: {first.switch_us:.0f} us)",
            ratio,
            f"<= {_FLAT}",
            ratio <= _FLAT,
        )
        yield Figure(
            f"of that, handling it ({cost.batches:.2f} batches each)",
            cost.handling_us,
            "us",
            f"at {few:,} {first.handling_us:.0f} us ({first.batches:.2f} batches)",
            cost.handling_us / first.handling_us,
        )


def _make(net: Bed, first: int, count: int) -> None:
    """Have so many more connections live, in conntrack and in hardware."""
    ends = [net.end(name).address.hex() for name in ("vm1", "vm2")]
    for at in range(first, first + count, _AT_A_TIME):
        some = min(_AT_A_TIME, first + count - at)
        for op in ("bench_track", "bench_offload"):
            net.ask(op, ends=ends, proto=IPPROTO_TCP, first=at, count=some)
    net.ask("bench_compare")


@dataclass(frozen=True, slots=True)
class Idle:
    """Shares of a core that both use when nothing happens."""

    controller: float
    switch: float


def _idle(net: Bed, seconds: float) -> Idle:
    """What is used when nothing happens, once all is calm: the median of some looks."""

    def shares(for_s: float) -> Idle:
        cpu = _Cpu.of(net)
        time.sleep(for_s)
        used = cpu.used()
        return Idle(used.controller_s / used.wall_s, used.switch_s / used.wall_s)

    until(lambda: shares(1.0).controller < _CALM, "a calm controller", _PATIENCE_S)
    looks = [shares(seconds / _LOOKS) for _ in range(_LOOKS)]
    return Idle(*(median(each) for each in zip(*map(astuple, looks))))


@dataclass(slots=True)
class _Others:
    """Connections that come and go beside those that live."""

    net: Bed
    switch: Hardware
    vm1: Port
    vm2: Port
    live: int
    count: int
    idle: Idle
    round: int = 0

    def flows(self, proto: int) -> list[FlowTuple]:
        """Their tuples, of no other round."""
        here, there = self.net.end("vm1"), self.net.end("vm2")
        first = _OTHERS + self.round * _MOST_AT_ONCE
        return list(connections(here, there, proto, self.count, first))

    def send(
        self, frames: list[bytes], back: bool = False, pace_s: float = 0.0
    ) -> None:
        """One frame of each, as fast as they can go or one every so often."""
        ends = (self.vm2, self.vm1) if back else (self.vm1, self.vm2)
        if not pace_s:
            exchange(*ends, frames, wanted=is_ip)
            return
        due = itertools.count(time.monotonic() + pace_s, pace_s)
        exchange(
            *(*ends, frames),
            wanted=is_ip,
            window=1,
            between=lambda: time.sleep(max(0.0, next(due) - time.monotonic())),
        )

    def cost(self, event: Callable[[], None], live: int) -> Cost:
        """What it costs each of them, until so many connections are in hardware."""
        busy = _Cpu.of(self.net)
        event()
        self.switch.wait_for(live)
        used = busy.used()
        controller_s = used.controller_s - self.idle.controller * used.wall_s
        switch_s = used.switch_s - self.idle.switch * used.wall_s
        return Cost(
            controller_s / self.count * 1e6,
            used.handling_s / self.count * 1e6,
            used.batches / self.count,
            switch_s / self.count * 1e6,
        )


def _come_and_go(others: _Others, pace_s: float = 0.0) -> dict[str, Cost]:
    here, there = others.net.end("vm1"), others.net.end("vm2")
    both = others.live + others.count
    flows = others.flows(IPPROTO_UDP)
    others.send([udp(here, there, flow, b"ask") for flow in flows])
    answers = [udp(there, here, flow.inverted(), b"answer") for flow in flows]
    offload = others.cost(lambda: others.send(answers, True, pace_s), both)
    aging = others.cost(lambda: None, others.live)
    flows = others.flows(IPPROTO_TCP)
    others.send([tcp(here, there, flow, SYN, 1) for flow in flows])
    others.send(
        [tcp(there, here, flow.inverted(), SYN | ACK, 1, 2) for flow in flows],
        back=True,
    )
    others.send([tcp(here, there, flow, ACK, 2, 2) for flow in flows])
    others.switch.wait_for(both)
    ends = [tcp(here, there, flow, FIN | ACK, 2, 2) for flow in flows]
    teardown = others.cost(lambda: others.send(ends, False, pace_s), others.live)
    others.net["hv1"].must("ovs-appctl", "revalidator/purge")
    check(others.switch.ages == others.live, "entries are left over")
    if pace_s:
        return {f"offload{_ALONE}": offload, f"teardown{_ALONE}": teardown}
    return {"offload": offload, "aging": aging, "teardown": teardown}
