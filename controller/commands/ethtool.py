"""``ethtool -K DEV hw-tc-offload on|off`` and ``-k``: the driver's switch.

Model: one eswitch a hypervisor, so any of its devices turns it for all.
Source: mlx5 en_main.c:set_feature_hw_tc
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.commands.answer import Answer, Switch
from controller.hypervisor import Hypervisor
from offload.errors import Unsupported

_FEATURE = "hw-tc-offload"
_SET = ("-K", "--features", "--offload")
_SHOW = ("-k", "--show-features", "--show-offload")


def run(
    hypervisor: Hypervisor,
    switch: Switch,
    argv: Sequence[str],
    stdin: str | None,
    now_s: float,
) -> Answer | None:
    """Turn or show hw-tc-offload; everything else is the system's."""
    if len(argv) == 4 and argv[0] in _SET and argv[2] == _FEATURE:
        return _set(hypervisor, switch, argv[1], argv[3])
    if len(argv) == 2 and argv[0] in _SHOW and _is_ours(hypervisor, argv[1]):
        state = "on" if hypervisor.filters.offload else "off"
        return Answer(stdout=f"Features for {argv[1]}:\n{_FEATURE}: {state}\n")
    return None


def _is_ours(hypervisor: Hypervisor, device: str) -> bool:
    return device in hypervisor.config.devices or device == hypervisor.config.uplink


def _set(hypervisor: Hypervisor, switch: Switch, device: str, value: str) -> Answer:
    if not _is_ours(hypervisor, device):
        return Answer(1, stderr=f"{device}: not a device of this hypervisor's switch\n")
    if value not in ("on", "off"):
        return Answer(1, stderr="ethtool: bad command line argument(s)\n")
    try:
        hypervisor.set_offload(value == "on")
    except Unsupported as refused:
        return Answer(1, stderr=f"{refused}\nCannot change {_FEATURE}\n")
    switch.settled(anew=True)
    return Answer()
