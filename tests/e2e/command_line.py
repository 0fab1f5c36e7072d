"""Commands typed at a node, each with what it said and its exit code.

A tool's name in a command line is found as a user finds it: by the node's PATH.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from topologies.requirements import find
from topologies.waiting import PATIENCE

DEVICES = ("ens1f0_0", "ens1f0_1", "vxlan0")
CHAIN = 700
"""No packet comes to this chain by itself: what tests type there disturbs nobody."""
KERNEL_SAID_NO = "We have an error talking to the kernel\n"
_PATIENCE_S = 60.0 * PATIENCE


@dataclass(frozen=True, slots=True)
class Said:
    """What a command wrote, and the code it exited with."""

    code: int = 0
    stdout: str = ""
    stderr: str = ""


FINE = Said()
"""It did it, and had nothing to say."""


def typed(node: Any, line: str, stdin: str = "") -> Said:
    """Run a command line on a node, with no shell between."""
    child = node.popen(
        shlex.split(line),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
    )
    stdout, stderr = child.communicate(stdin, timeout=_PATIENCE_S)
    return Said(child.returncode, stdout, stderr)


def refused(extack: str = "", errno: str = "Invalid argument") -> Said:
    """What tc says, and exits with, when the kernel says no."""
    why = f"Error: {extack}." if extack else f"RTNETLINK answers: {errno}"
    return Said(2, "", f"{why}\n{KERNEL_SAID_NO}")


def filter_add(
    words: str, device: str = "ens1f0_0", protocol: str = "ip", prio: int = 1
) -> str:
    """A command that adds a filter to the tests' own chain."""
    place = f"dev {device} ingress chain {CHAIN} prio {prio} protocol {protocol}"
    return f"tc filter add {place} flower {words}"


def shown(
    hypervisor: Any, device: str = "ens1f0_0", words: str = ""
) -> list[dict[str, Any]]:
    """The filters of the tests' own chain, as ``tc -s -j filter show`` has them."""
    place = f"dev {device} ingress chain {CHAIN} {words}"
    said = typed(hypervisor, f"tc -s -j filter show {place}")
    assert (said.code, said.stderr) == (0, ""), said
    return [each for each in json.loads(said.stdout) if "options" in each]


def rules(hypervisor: Any) -> set[str]:
    """The switch's rules with table, priority, match and actions; no counter, no cookie."""
    return {_without_cookie(line) for line in rule_lines(hypervisor)}


def rule_lines(hypervisor: Any) -> list[str]:
    """The switch's rules as ovs-ofctl prints them, without counters."""
    dump = "ovs-ofctl -O OpenFlow13 --names --no-stats dump-flows br-int"
    said = typed(hypervisor, dump)
    assert said.code == 0, said
    return [line.strip() for line in said.stdout.splitlines()]


def _without_cookie(line: str) -> str:
    return ", ".join(word for word in line.split(", ") if "cookie=" not in word)


def system_says(hypervisor: Any, line: str, stdin: str = "") -> Said:
    """What the system's own tool answers, with the testbed's not on PATH."""
    tool, _, words = line.partition(" ")
    return typed(hypervisor, f"{find(tool)} {words}", stdin)


def has_modelled_tc(hypervisor: Any) -> bool:
    """Is the system's tc the one whose words the testbed's are? Others say it differently."""
    return "iproute2-6.1" in system_says(hypervisor, "tc -V").stdout


@contextmanager
def unchanged(hypervisor: Any) -> Iterator[None]:
    """Fail if the block changes what tc shows, or a rule of the switch."""
    filters, flows = filter_text(hypervisor), rules(hypervisor)
    yield
    assert filter_text(hypervisor) == filters
    assert rules(hypervisor) == flows


def filter_text(hypervisor: Any) -> str:
    """All filters of all devices, as tc shows them."""
    shows = [f"tc filter show dev {device} ingress" for device in DEVICES]
    return "".join(typed(hypervisor, show).stdout for show in shows)


def flush(hypervisor: Any) -> None:
    """Delete what was typed into the tests' own chain."""
    for device in DEVICES:
        line = f"tc filter del dev {device} ingress chain {CHAIN}"
        assert typed(hypervisor, line).code == 0, line
