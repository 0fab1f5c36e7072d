"""Acts 3 to 5: a TCP connection from its handshake to its end."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from demo.acts.progress import Rows, second_by_second
from demo.acts.transfer import PORT, SIZE, Transfer, connected
from demo.checks import Counts, Reading, at_least, equal, share_at_least
from demo.errors import NotSeen
from demo.measure import HYPERVISORS, Entry, connections_in, entries_in
from demo.peers import DEADLINE_S
from demo.screen import Style
from demo.stage import Stage

# A little less than whole seconds, so that the last row is one, too.
_OVER_S = 5.9
_LEAST_SHARE = 0.99
_DUMP = "ovs-ofctl -O OpenFlow13 --names dump-flows br-int table=hw_ct"
# Of a full-sized segment on its way to hv2, all headers in one.
_CAPTURE = (
    "tcpdump -n -e -t -c 1 -i ens1f0 src host 7.7.7.7 and udp dst port 4789"
    " and greater 1000"
)


def show(stage: Stage) -> None:
    """Tell the connection's life."""
    stage.screen.heading("3  A TCP transfer from vm1 to vm3, second by second")
    before = stage.meter.read()
    with connected(stage, over_s=_OVER_S) as transfer:
        _handshake(stage, transfer, before)
        with _captured(stage) as packet:
            _bulk(stage, transfer)
        stage.screen.heading("4  The connection in hardware, and on the wire")
        _look(stage, transfer)
        _show_packet(stage, packet)
        stage.screen.heading("5  FIN")
        _end(stage, transfer)


def _handshake(stage: Stage, transfer: Transfer, before: Reading) -> None:
    connected_s = time.monotonic()
    transfer.offloaded()
    took_ms = (time.monotonic() - connected_s) * 1000
    where = "in hardware on" if stage.hardware else "in the (software) flow table of"
    stage.screen.paragraph(
        f"""vm1 has connected, and has sent no data yet: what was counted until now is the
        handshake. {took_ms:.0f} ms later the connection was {where} both
        hypervisors. Now {SIZE:,} bytes, spread over {_OVER_S:.0f} seconds:"""
    )
    stage.screen.line()
    stage.screen.line(f"{'':13}{_legend(stage)}")
    phase = stage.phase("handshake", before)
    stage.screen.line(Rows(stage.screen).row("handshake", phase.hypervisors))
    for name, counts in phase.hypervisors.items():
        stage.check(
            equal("TCP handshake in hardware", 0, counts.hardware, name),
            at_least("TCP handshake in software", 3, counts.software, name),
        )


def _legend(stage: Stage) -> str:
    bar = stage.screen.bar
    hardware, software = bar(Counts(1, 0), 3), bar(Counts(0, 1), 3)
    return f"{hardware} packets in hardware (hw)   {software} in software (sw)"


def _bulk(stage: Stage, transfer: Transfer) -> None:
    before = stage.meter.read()
    transfer.begin()
    second_by_second(stage, transfer.has_sent)
    arrived = transfer.arrived()
    phase = stage.phase("transfer", before)
    total = Rows(stage.screen).row("total", phase.hypervisors)
    stage.screen.lines(["─" * (stage.screen.width - 4)], Style.QUIET)
    stage.screen.line(total)
    stage.screen.line()
    intact = "unaltered" if arrived.intact else "but not the same ones"
    stage.screen.paragraph(
        f"vm3 has received {arrived.received:,} of {SIZE:,} bytes, {intact} (SHA-256)."
    )
    stage.check(
        equal("TCP bytes received", SIZE, arrived.received),
        equal("TCP bytes unaltered", "yes", "yes" if arrived.intact else "no"),
    )
    check_shares(stage, "TCP transfer", phase.hypervisors)


def check_shares(stage: Stage, what: str, counted: Reading) -> None:
    """Check that hardware had nearly all packets, or none if it is off."""
    for name, counts in counted.items():
        if stage.hardware:
            check = share_at_least(f"{what} in hardware", _LEAST_SHARE, counts, name)
        else:
            check = equal(f"{what} in hardware", 0, counts.hardware, name)
        stage.check(check)


@contextmanager
def _captured(stage: Stage) -> Iterator[subprocess.Popen[str]]:
    """Catch a packet on hv1's uplink while the block runs; ends with the packet, or the block."""
    catcher = stage.net["hv1"].popen(
        _CAPTURE.split(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # It says "listening on ens1f0" once it does.
        while "listening" not in (said := catcher.stderr.readline()):
            if not said:
                raise NotSeen("hv1: tcpdump has ended before it began")
        yield catcher
    finally:
        catcher.terminate()
        catcher.wait()


def _show_packet(stage: Stage, catcher: subprocess.Popen[str]) -> None:
    out, _ = catcher.communicate(timeout=DEADLINE_S)
    stage.screen.line()
    stage.screen.paragraph(
        "One of its packets, caught on hv1's uplink while it ran. First the outer headers, then"
        " what is inside:"
    )
    stage.screen.command("hv1", _CAPTURE)
    stage.screen.quote(out.strip() or "(no packet)", Style.QUIET)
    words = " ".join(out.split())
    outer = "7.7.7.7." in words and "> 7.7.7.8.4789: VXLAN" in words
    inner = "10.0.0.1." in words and f"> 10.0.0.3.{PORT}:" in words
    tunnelled = outer and "vni 98 " in words and inner
    wanted = "VXLAN, VNI 98"
    stage.check(
        equal("packet on the uplink", wanted, wanted if tunnelled else "none such")
    )


def _look(stage: Stage, transfer: Transfer) -> None:
    screen = stage.screen
    screen.paragraph(
        "The connection is still open. Its two entries in hv1's hardware, one a direction:"
        if stage.hardware
        else "The connection is still open. Hardware has no entry of it:"
    )
    entries = [
        entry
        for entry in entries_in(stage.must("hv1", _DUMP))
        if transfer.port in (entry.sport, entry.dport)
    ]
    screen.quote("\n".join(map(_decoded, entries)) or "(none)", Style.HARDWARE)
    wanted = 2 if stage.hardware else 0
    stage.check(equal("TCP entries in hardware", wanted, len(entries), "hv1"))
    screen.line()
    for name in HYPERVISORS:
        _look_at_conntrack(stage, name, transfer.port)


def _decoded(entry: Entry) -> str:
    ends = f"{entry.src}:{entry.sport} > {entry.dst}:{entry.dport}"
    return (
        f"{entry.proto} {ends:<30}  zone {entry.zone}  {entry.ct_state:<12}"
        f"  mark {entry.mark}  {entry.packets:>5,} pkt"
    )


def _look_at_conntrack(stage: Stage, name: str, port: int) -> None:
    printed = stage.must(name, "conntrack -L -p tcp", show=name == HYPERVISORS[0])
    lines = [
        line
        for line in connections_in(printed, "tcp", PORT)
        if f" sport={port} " in line
    ]
    if name == HYPERVISORS[0]:
        stage.screen.quote("\n".join(lines))
    mark = "[HW_OFFLOAD]" if stage.hardware else "[OFFLOAD]"
    seen = " ".join(word for word in " ".join(lines).split() if word.startswith("["))
    stage.check(equal("TCP in conntrack -L", mark, seen or "no mark", name))


def _end(stage: Stage, transfer: Transfer) -> None:
    before = stage.meter.read()
    closed_s = time.monotonic()
    received = transfer.close()
    stage.until_all(stage.meter.entries, 0, "the connection's entries to go")
    took_ms = (time.monotonic() - closed_s) * 1000
    phase = stage.phase("FIN", before)
    stage.screen.paragraph(
        f"""vm1 has closed. FIN never matches an entry in hardware, so software sees it and
        takes the entries back: they were gone {took_ms:.0f} ms later. conntrack goes on from
        where it had been left:"""
    )
    entries = [
        entry
        for entry in entries_in(stage.must("hv1", _DUMP, show=False))
        if transfer.port in (entry.sport, entry.dport)
    ]
    stage.check(equal("TCP entries after FIN", 0, len(entries), "hv1"))
    printed = stage.must("hv1", "conntrack -L -p tcp")
    lines = [
        line
        for line in connections_in(printed, "tcp", PORT)
        if f" sport={transfer.port} " in line
    ]
    stage.screen.quote("\n".join(lines) or "(the connection is gone)")
    stage.screen.line()
    stage.screen.line(Rows(stage.screen).row("FIN", phase.hypervisors))
    stage.check(equal("TCP bytes at the end", SIZE, received))
    for name, counts in phase.hypervisors.items():
        # Each side's own; which of the two ACKs still meets an entry is a matter of time.
        stage.check(at_least("FINs in software", 2, counts.software, name))
