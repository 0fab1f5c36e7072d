"""One hypervisor that carries out case after case, each from an empty start."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterable
from itertools import product
from random import Random
from typing import Any

from tests.kernel.cases.case import Case, Command, Neighbour, PortKind, Send, Step, Wait
from tests.kernel.cases.outcome import (
    Connection,
    Filters,
    Outcome,
    Ran,
    Seen,
    StepOutcome,
)
from tests.kernel.testbed import listing
from tests.kernel.testbed.far import MARKER_TYPE, Far
from tests.kernel.testbed.network import (
    TUNNEL,
    TUNNEL_ADDRESS,
    UPLINK,
    WIRES,
    Mode,
    far_of,
)
from topologies import control
from topologies.hypervisor import BRIDGE
from topologies.testbed import Testbed as Net

Hook = tuple[str, str]  # a port, and one of
HOOKS = ("ingress", "egress")
ANSWER_S = 30.0
CARD = "pci/0000:03:00.0"
PLENTY = 1000
EMPTY_S = 20.0
TOOLS = ("tc", "conntrack", "ethtool")
# What the testbed has no setting for but always does, or never shows.
SYSCTLS = ("net.netfilter.nf_conntrack_acct",)
PORTS: dict[str, tuple[PortKind, str | None]] = {
    **dict.fromkeys(WIRES, (PortKind.WIRE, None)),
    UPLINK: (PortKind.WIRE, TUNNEL_ADDRESS),
    TUNNEL: (PortKind.TUNNEL, None),
}
MARKER_RULE = f"priority=65535,dl_type={MARKER_TYPE:#x},actions=in_port"


class NotPossible(Exception):
    """The case asks for what the testbed does not have."""


class Nic:
    """A hypervisor and its far end. Not to be shared by threads."""

    def __init__(self, net: Net, mode: Mode) -> None:
        self._node = net[mode.value]
        self._socket = net.run_.control_socket
        self._name = mode.value
        self._refuses = mode is Mode.REFUSING
        self._known: set[Neighbour] = set()
        self._filled: list[Hook] = []
        for bridge in (BRIDGE, self._node.physical_bridge):
            self._node.must(
                "ovs-ofctl", "-OOpenFlow13", "add-flow", bridge, MARKER_RULE
            )
        # On one processor: what Far.settle promises depends on it.
        processors = sorted(os.sched_getaffinity(0))
        turn = [*Mode].index(mode) % len(processors)
        os.sched_setaffinity(self._node.ovs.pid, {processors[turn]})
        self._far = Far(net[far_of(self._name)], self._node, BRIDGE)
        if mode is Mode.OFF:
            self._must("ethtool", "-K", UPLINK, "hw-tc-offload", "off")

    def close(self) -> None:
        """Close the sockets."""
        self._far.close()

    def run(self, case: Case) -> Outcome:
        """Carry a case out."""
        _check(case)
        self._empty()
        if self._refuses:
            self._refuse(Random(case.name))
        hooks = product((port.name for port in case.ports), HOOKS)
        self._filled = [hook for hook in hooks if _is_named(case, hook)]
        for port in case.ports:
            self._know(port.neighbours)
        commands = tuple(self._typed(command) for command in case.commands)
        steps = tuple(self._step(step) for step in case.steps)
        return Outcome(commands, steps, self._filters(), self._connections())

    def _empty(self) -> None:
        """Remove what the case before has left."""
        lines = [
            f"filter del dev {port} {side} chain {chain}"
            for port, side in self._filled
            for chain in {shown["chain"] for shown in self._shown((port, side))}
        ]
        if lines:
            self._exec(["tc", "-batch", "-"], "\n".join(lines))
        deadline = time.monotonic() + EMPTY_S
        while True:
            self._must("conntrack", "-F")
            if not self._connections() and not self._entries():
                break
            if time.monotonic() > deadline:
                raise NotPossible(f"{self._name}: connections do not go")
        self._far.left()
        self._far.stack()

    def _refuse(self, random: Random) -> None:
        """Let the card fail: a case's filters and connections always in the same way."""
        param = f"devlink dev param set {CARD} name"
        for name, value in (
            ("ct_insert_seed", random.randrange(1 << 32)),
            ("ct_insert_failure_percent", random.choice((0, 20, 50))),
        ):
            words = f"{param} {name} value {value} cmode runtime"
            self._must(*words.split())
        for name in ("fte_ids", "chain_tags"):
            size = random.choice((1, 2, 3, PLENTY))
            self._must(*f"devlink resource set {CARD} path {name} size {size}".split())

    def _know(self, neighbours: Iterable[Neighbour]) -> None:
        """Make peers of the underlay known, as the topology does for its own."""
        bridge = self._node.physical_bridge
        for peer in set(neighbours) - self._known:
            replace = ("replace", peer.address, "lladdr", peer.mac, "dev", bridge)
            self._node.must("ip", "neigh", *replace, "nud", "permanent")
            self._node.ovs.appctl("tnl/neigh/set", bridge, peer.address, peer.mac)
            self._known.add(peer)

    def _step(self, step: Step) -> StepOutcome:
        ran: Ran | None = None
        left: tuple[Seen, ...] = ()
        if isinstance(step, Send):
            try:
                self._far.send(step.port, step.frame)
            except OSError as error:
                return StepOutcome(error=str(error))
            left = self._far.settle(step.port)
        elif isinstance(step, Wait):
            time.sleep(step.seconds)
            left = self._far.left()
        else:
            ran = self._typed(step.command)
        found = self._connections()
        return StepOutcome(
            left=left, stack=self._far.stack(), connections=found, ran=ran
        )

    def _connections(self) -> tuple[Connection, ...]:
        return listing.connections(self._must("conntrack", "-L").stdout)

    def _entries(self) -> int:
        """How many connections are in a flow table."""
        status = control.ask(self._socket, {"op": "status"}, ANSWER_S)
        entries: int = status[self._name]["entries"]
        return entries

    def _filters(self) -> tuple[Filters, ...]:
        return tuple(Filters(*hook, self._shown(hook)) for hook in self._filled)

    def _shown(self, hook: Hook) -> list[dict[str, Any]]:
        words = ["tc", "-s", "-j", "filter", "show", "dev", *hook]
        shown: list[dict[str, Any]] = json.loads(self._must(*words).stdout or "[]")
        return shown

    def _typed(self, command: str) -> Ran:
        return self._exec(shlex.split(command))

    def _must(self, *argv: str) -> Ran:
        ran = self._exec(argv)
        if ran.code:
            raise NotPossible(f"{self._name}: {shlex.join(argv)}: {ran.stderr}")
        return ran

    def _exec(self, argv: Iterable[str], stdin: str | None = None) -> Ran:
        request = {"op": "exec", "hypervisor": self._name, "argv": [*argv]}
        answer = control.ask(self._socket, {**request, "stdin": stdin}, ANSWER_S)
        if "code" not in answer:
            raise NotPossible(f"not a command of the testbed's: {shlex.join(argv)}")
        return Ran(answer["code"], answer["stdout"], answer["stderr"])


def _check(case: Case) -> None:
    """Raise NotPossible, with the reason."""
    for port in case.ports:
        if PORTS.get(port.name) != (port.kind, port.address):
            raise NotPossible(f"the testbed has no such port: {port}")
    for sysctl in case.sysctls:
        if sysctl.name not in SYSCTLS:
            raise NotPossible(f"the testbed has no {sysctl.name}")
    steps = (step.command for step in case.steps if isinstance(step, Command))
    for command in (*case.commands, *steps):
        if command.split()[:1] not in [[tool] for tool in TOOLS]:
            raise NotPossible(f"not a command of the testbed's: {command}")


def _is_named(case: Case, hook: Hook) -> bool:
    """Did a command put filters there?"""
    steps = (step.command for step in case.steps if isinstance(step, Command))
    where = f"filter add dev {' '.join(hook)} "
    return any(where in text for text in (*case.commands, *steps))
