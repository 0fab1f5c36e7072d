"""Commands typed at a hypervisor: tc, conntrack, devlink, ethtool and why-not.

``run`` answers as the tool would, or says that the command is not the
testbed's and belongs to the system's own tool.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.commands import conntrack, devlink, ethtool, tc, why_not
from controller.commands.answer import Answer, Switch
from controller.hypervisor import Hypervisor

_TOOLS = {
    "tc": tc.run,
    "conntrack": conntrack.run,
    "devlink": devlink.run,
    "ethtool": ethtool.run,
    "why-not": why_not.run,
}


def run(
    hypervisor: Hypervisor,
    switch: Switch,
    argv: Sequence[str],
    stdin: str | None,
    now_s: float,
) -> Answer | None:
    """Carry a command out; None means it is the system tool's."""
    tool = _TOOLS.get(argv[0]) if argv else None
    return tool(hypervisor, switch, argv[1:], stdin, now_s) if tool else None
