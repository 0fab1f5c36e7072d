"""Act 8: the same transfer at full speed, with the hardware on, off, and on again."""

from __future__ import annotations

from dataclasses import replace

from demo.acts.progress import Rows
from demo.acts.tcp import check_shares
from demo.acts.transfer import SIZE, connected
from demo.checks import at_least, equal
from demo.measure import HYPERVISORS
from demo.screen import Style
from demo.stage import Stage

_TOGGLE = "ethtool -K ens1f0 hw-tc-offload"


def show(stage: Stage) -> None:
    """Transfer thrice; once, if there is no hardware in this run."""
    stage.screen.paragraph(
        f"""{SIZE:,} bytes as fast as they go, each time over a new connection, counted from
        after its handshake. Look at the counters, not at the speed: both halves are the same
        Open vSwitch."""
    )
    stage.screen.line()
    if not stage.hardware:
        _transfer(stage, "off")
        return
    in_hw = _filters_in_hw(stage)
    _transfer(stage, "on")
    _toggle(stage, "off")
    stage.check(equal("filters in hw, off", "0 + 0", _filters_in_hw(stage)))
    _transfer(replace(stage, hardware=False), "off")
    _toggle(stage, "on")
    stage.check(equal("filters in hw, on again", in_hw, _filters_in_hw(stage)))
    _transfer(stage, "on again")


def _filters_in_hw(stage: Stage) -> str:
    numbers = [stage.meter.status(name).filters_in_hw for name in HYPERVISORS]
    return " + ".join(map(str, numbers))


def _toggle(stage: Stage, state: str) -> None:
    for name in HYPERVISORS:
        stage.must(name, f"{_TOGGLE} {state}")


def _transfer(stage: Stage, label: str) -> None:
    """Transfer at full speed; what is counted begins after the handshake."""
    with connected(stage) as transfer:
        transfer.offloaded()
        before = stage.meter.read()
        arrived = transfer.send()
        transfer.close()
        stage.until_all(stage.meter.entries, 0, "the connection's entries to go")
    phase = stage.phase(f"full speed, hardware {label}", before)
    stage.screen.line(Rows(stage.screen).row(label, phase.hypervisors))
    speed = f"{arrived.took_s:.2f} s, {arrived.rate_mbps:,.0f} Mbit/s"
    stage.screen.lines([f"{'':<11}{speed}"], Style.QUIET)
    what = f"10 MB, {label}:"
    seen = arrived.received if arrived.intact else "altered bytes"
    stage.check(equal(f"{what} bytes", SIZE, seen))
    check_shares(stage, what, phase.hypervisors)
    if not stage.hardware:
        for name, counts in phase.hypervisors.items():
            # A full-sized segment has less than 1500 bytes.
            least = SIZE // 1500
            stage.check(at_least(f"{what} in software", least, counts.software, name))
