"""Act 6: a UDP flow that is offloaded, falls silent, and ages out."""

from __future__ import annotations

import time

from demo.acts.progress import Rows
from demo.checks import Check, equal
from demo.errors import NotSeen
from demo.measure import HYPERVISORS, connections_in
from demo.peers import DEADLINE_S, Peer, on
from demo.screen import Style
from demo.stage import Stage

_PORT = 5002
_MORE = 20
_USUAL_S = 30
# What the flow table's garbage collection and a busy machine may add.
_LATE_S = 20


def show(stage: Stage) -> None:
    """Ask and answer until the flow is in hardware, then wait until it no longer is."""
    where = "in hardware" if stage.hardware else "in the flow table"
    stage.screen.paragraph(
        f"""vm1 asks, vm3 answers: first until the flow is {where}, then {_MORE} times more,
        then silence. The flow table forgets a connection after {_USUAL_S} s without a packet;
        for this demo, UDP's timeout is set to {stage.udp_timeout_s} s."""
    )
    stage.screen.line()
    port = ("--port", str(_PORT))
    with on(stage.net["vm3"], "echo", *port) as echo:
        echo.expect("listening")
        with on(stage.net["vm1"], "ask", "--host", "10.0.0.3", *port) as asker:
            asker.expect("bound")
            _until_offloaded(stage, asker)
            _silence(stage, _more(stage, asker))


def _until_offloaded(stage: Stage, asker: Peer) -> None:
    before = stage.meter.read()
    meter = stage.meter
    read = meter.entries_in_hw if stage.hardware else meter.entries
    deadline, asked = time.monotonic() + DEADLINE_S, 0
    while not all(seen == 1 for seen in read().values()):
        if time.monotonic() > deadline:
            raise NotSeen(f"UDP: not offloaded after {asked} requests")
        _ask(asker)
        asked += 1
    phase = stage.phase("UDP until offloaded", before)
    stage.screen.line(Rows(stage.screen).row(f"first {asked}", phase.hypervisors))


def _more(stage: Stage, asker: Peer) -> float:
    """Ask on, all of it in hardware; returns the time of the last packet."""
    before = stage.meter.read()
    for _ in range(_MORE):
        _ask(asker)
    last_s = time.monotonic()
    phase = stage.phase("UDP offloaded", before)
    stage.screen.line(Rows(stage.screen).row(f"next {_MORE}", phase.hypervisors))
    for name, counts in phase.hypervisors.items():
        wanted = 2 * _MORE if stage.hardware else 0
        stage.check(equal("UDP in hardware", wanted, counts.hardware, name))
    return last_s


def _ask(asker: Peer) -> None:
    asker.tell()
    asker.expect("reply_ms")


def _silence(stage: Stage, last_s: float) -> None:
    screen, meter = stage.screen, stage.meter
    gone_s: dict[str, float] = {}
    deadline = last_s + stage.udp_timeout_s + _LATE_S
    while len(gone_s) < len(HYPERVISORS) and time.monotonic() < deadline:
        silent_s = time.monotonic() - last_s
        for name, entries in meter.entries().items():
            if not entries:
                gone_s.setdefault(name, silent_s)
        screen.moving(f"  silence    {silent_s:.1f} s")
        stage.pause()
    said = ", ".join(f"on {name} after {s:.1f} s" for name, s in gone_s.items())
    screen.settled(f"  silence    out of the flow table: {said or 'no'}")
    stage.check(*(_aged(stage, name, gone_s.get(name)) for name in HYPERVISORS))
    screen.line()
    screen.paragraph("The connection itself is still there, now as software's alone:")
    printed = stage.must("hv1", "conntrack -L -p udp")
    lines = connections_in(printed, "udp", _PORT)
    screen.quote("\n".join(lines) or "(none)", Style.PLAIN)
    seen = "no mark" if lines and "OFFLOAD" not in " ".join(lines) else "not so"
    stage.check(equal("UDP in conntrack -L", "no mark", seen, "hv1"))


def _aged(stage: Stage, name: str, gone_s: float | None) -> Check:
    least_s = stage.udp_timeout_s
    seen = "still there" if gone_s is None else f"{gone_s:.1f} s"
    # A tenth: the last packet was on its way when its time was taken.
    ok = gone_s is not None and gone_s >= least_s - 0.1
    return Check("UDP aged out after", f">= {least_s} s", seen, ok, name)
