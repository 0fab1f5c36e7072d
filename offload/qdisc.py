"""Where a device's filters hang: its ingress or clsact qdisc, and shared blocks.

    device --Hook--> its own block, or block N, which other devices share

Model: a device has a clsact qdisc from the start, as if somebody had added it
before; the first ``qdisc add`` of a hook takes it over, filters and all.
Source: net/sched/sch_ingress.c, net/sched/sch_api.c:tc_modify_qdisc
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from offload.chains import Point
from offload.errors import KernelError

NO_HOOK = "Parent Qdisc doesn't exists"
NO_BLOCK = "Block of given index was not found"
SHARED = (
    "This filter block is shared. Please use the block index to manipulate the filters"
)
_ENOENT = "No such file or directory"


@dataclass(slots=True)
class Hook:
    """A device's qdisc; ``block`` is 0 where the filters are its alone."""

    kind: str = "clsact"
    block: int = 0
    added: bool = False


class Hooks:
    """The hooks of a hypervisor's devices."""

    def __init__(self, devices: Iterable[str]) -> None:
        self._hooks = {device: Hook() for device in devices}

    def get(self, device: str) -> Hook | None:
        """The device's hook, if it has one."""
        return self._hooks.get(device)

    def __iter__(self) -> Iterator[tuple[str, Hook]]:
        return iter(self._hooks.items())

    def point(self, device: str, egress: bool) -> Point:
        """Where a command is about; an ingress qdisc takes egress for ingress.

        Source: net/sched/sch_ingress.c:ingress_find, ingress_tcf_block
        """
        hook = self._hooks.get(device)
        return Point(device, egress and (hook is None or hook.kind == "clsact"))

    def block_of(self, device: str) -> int:
        """The shared block that the device is in, 0 if it is in none."""
        hook = self._hooks.get(device)
        return hook.block if hook else 0

    def sharing(self, block: int) -> tuple[str, ...]:
        """The devices of a shared block; a block that nobody has is not there."""
        return tuple(
            device for device, hook in self._hooks.items() if hook.block == block
        )

    def to_edit(self, device: str, block: int, egress: bool) -> tuple[Point, ...]:
        """The points whose filters a command changes.  Raises KernelError.

        Source: net/sched/cls_api.c:tcf_block_find
        """
        if block:
            devices = self.sharing(block)
            if not devices:
                raise KernelError(NO_BLOCK)
            return tuple(map(Point, devices))
        hook = self._hooks.get(device)
        if hook is None:
            raise KernelError(NO_HOOK)
        point = self.point(device, egress)
        if hook.block and not point.egress:
            raise KernelError(SHARED, "Operation not supported")
        return (point,)

    def check_add(self, device: str, verb: str, kind: str) -> bool:
        """Is a hook to be made?  False if what is there does.  Raises KernelError.

        Source: net/sched/sch_api.c:tc_modify_qdisc
        """
        hook = self._hooks.get(device)
        if hook is None:
            if verb in ("change", "link"):
                raise KernelError(
                    "Qdisc not found. To create specify NLM_F_CREATE flag", _ENOENT
                )
            return True
        if not hook.added and verb in ("add", "replace"):
            return True
        if verb == "add":
            raise KernelError("Exclusivity flag on, cannot modify", "File exists")
        if kind != hook.kind:
            raise KernelError("Invalid qdisc name")
        return False

    def check_delete(self, device: str, kind: str) -> None:
        """Raise KernelError if there is no such hook to delete."""
        hook = self._hooks.get(device)
        if hook is None and kind:
            raise KernelError("Invalid handle", _ENOENT)
        if hook is None:
            raise KernelError("Cannot delete qdisc with handle of zero", _ENOENT)
        if kind and kind != hook.kind:
            raise KernelError("Invalid qdisc name")

    def set(self, device: str, kind: str, block: int) -> None:
        """Give a device a hook."""
        self._hooks[device] = Hook(kind, block, added=True)

    def remove(self, device: str) -> None:
        """Take a device's hook away; its filters must be gone."""
        del self._hooks[device]
