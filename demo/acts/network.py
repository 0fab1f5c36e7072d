"""Act 1: what was started."""

from __future__ import annotations

from demo.screen import Style
from demo.stage import Stage

_PICTURE = """\
   vm1          vm2                       vm3          vm4
 10.0.0.1     10.0.0.2                  10.0.0.3     10.0.0.4
    │            │                         │            │
 ens1f0_0     ens1f0_1                  ens1f0_0     ens1f0_1
┌───┴────────────┴───── hv1 ─┐         ┌───┴────────────┴───── hv2 ─┐
│  "hardware": mlx5's tables │         │  "hardware": mlx5's tables │
│  "software": tc, conntrack │         │  "software": tc, conntrack │
└──── ens1f0  7.7.7.7 ───────┘         └──── ens1f0  7.7.7.8 ───────┘
         └────────── VXLAN, UDP port 4789 ──────┘
"""


def show(stage: Stage, took_s: float) -> None:
    """Draw the network, and say how long it took to bring up."""
    screen = stage.screen
    screen.settled("")
    screen.lines([*_PICTURE.splitlines(), ""], Style.QUIET)
    screen.paragraph(
        f"""Two hypervisors, each a network namespace with an Open vSwitch of its own, were
        up in {took_s:.1f} s. Both halves of a hypervisor are tables of one OpenFlow pipeline:
        hardware's are laid out as mlx5's, software's run tc's chains over conntrack. A packet
        that hardware's tables do not know goes on in software's. Ready-made filters (prio 2
        and later) connect everybody with everybody."""
    )
    if not stage.hardware:
        screen.paragraph(
            "This run has the hardware switched off: everything is done in software."
        )
