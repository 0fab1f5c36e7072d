"""Act 2: the cover letter's three commands, and what hardware says to each."""

from __future__ import annotations

from dataclasses import dataclass

from demo.checks import equal
from demo.measure import Filter, filters_in
from demo.screen import Style, wrapped
from demo.stage import Stage

# As they are printed in the cover letter.
COMMANDS = (
    r"""
tc filter add dev ens1f0_0 ingress prio 1 chain 0 proto ip flower \
    src_mac 24:8a:07:a5:28:01 ct_state -trk \
    action ct \
    pipe action goto chain 2
""",
    r"""
tc filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower \
    ct_state +trk+new \
    action ct commit \
    pipe action tunnel_key set \
        src_ip 0.0.0.0 \
        dst_ip 7.7.7.8 \
        id 98 \
        dst_port 4789 \
    action mirred egress redirect dev vxlan0
""",
    r"""
tc filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower \
    ct_state +trk+est \
    action tunnel_key set \
        src_ip 0.0.0.0 \
        dst_ip 7.7.7.8 \
        id 98 \
        dst_port 4789 \
    action mirred egress redirect dev vxlan0
""",
)
_SHOW = "tc -s -j filter show dev ens1f0_0 ingress"
# A prio that nothing else has, to ask for a filter in hardware or not at all.
_ASK_PRIO = 99
_WHERE = {True: "hardware", False: "software"}


@dataclass(frozen=True, slots=True)
class Placed:
    """A filter as tc shows it, and why it is not in hardware if it is not."""

    chain: int
    ct_state: str
    in_hw: bool
    reason: str


def show(stage: Stage) -> None:
    """Type the commands, then show where each filter is and why."""
    screen = stage.screen
    screen.paragraph("The cover letter's three commands, as they are printed there:")
    for command in COMMANDS:
        screen.line()
        stage.must("hv1", command.strip())
    screen.line()
    placed = [_placed(stage, *pair) for pair in zip(COMMANDS, _added(stage))]
    for number, filter_ in enumerate(placed, start=1):
        _show_one(stage, number, filter_)
    screen.line()
    screen.paragraph(
        """They are prio 1 and match all of vm1's IPv4: the ready-made ones stay behind them, and
        all of it goes through the tunnel to 7.7.7.8. For the way back hv2 has its own."""
    )
    wanted = (True, False, True) if stage.hardware else (False, False, False)
    for number, (filter_, in_hw) in enumerate(zip(placed, wanted, strict=True), 1):
        name = f"filter {number} ({filter_.ct_state}) is in"
        stage.check(equal(name, _WHERE[in_hw], _WHERE[filter_.in_hw]))


def _added(stage: Stage) -> list[Filter]:
    shown = filters_in(stage.must("hv1", _SHOW, show=False))
    return [filter_ for filter_ in shown if filter_.get("pref") == 1]


def _placed(stage: Stage, command: str, filter_: Filter) -> Placed:
    in_hw = bool(filter_["options"].get("in_hw"))
    return Placed(
        chain=filter_["chain"],
        ct_state=filter_["options"]["keys"]["ct_state"],
        in_hw=in_hw,
        reason="" if in_hw else why_not(stage, command),
    )


def why_not(stage: Stage, command: str) -> str:
    """Return tc's answer to the same filter with skip_sw: hardware, or an error."""
    asking = command.strip().replace("prio 1", f"prio {_ASK_PRIO}")
    answer = stage.run("hv1", asking.replace("flower", "flower skip_sw"), show=False)
    if not answer.code:
        where = f"dev ens1f0_0 ingress prio {_ASK_PRIO}"
        stage.must("hv1", f"tc filter del {where}", show=False)
        return "hardware takes it when asked again"
    return answer.err.strip().splitlines()[0]


def _show_one(stage: Stage, number: int, filter_: Placed) -> None:
    screen = stage.screen
    flag, style = (
        ("in_hw", Style.HARDWARE) if filter_.in_hw else ("not_in_hw", Style.SOFTWARE)
    )
    start = f"  {number}.  chain {filter_.chain}  ct_state {filter_.ct_state:<9}  "
    screen.line(f"{start}{screen.paint(flag, style)}")
    if filter_.reason:
        reason = f'with skip_sw, tc says: "{filter_.reason}"'
        screen.lines([f"    {line}" for line in wrapped(reason, screen.width - 8)])
