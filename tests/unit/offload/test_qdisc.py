"""Hooks and the blocks that devices share."""

from __future__ import annotations

import pytest

from offload.cls_api import Point
from offload.errors import KernelError
from offload.qdisc import NO_BLOCK, NO_HOOK, SHARED, Hooks


def hooks() -> Hooks:
    return Hooks(("a", "b"))


def test_devices_have_hooks_from_the_start() -> None:
    assert hooks().to_edit("a", 0, False) == (Point("a"),)
    assert [(device, hook.kind) for device, hook in hooks()] == [
        ("a", "clsact"),
        ("b", "clsact"),
    ]


@pytest.mark.parametrize("kind", ["clsact", "ingress"])
@pytest.mark.parametrize("verb", ["add", "replace"])
def test_the_first_to_add_a_hook_takes_it_over(verb: str, kind: str) -> None:
    there = hooks()
    assert there.check_add("a", verb, kind)
    there.set("a", kind, 0)
    found = there.get("a")
    assert found is not None and found.kind == kind
    with pytest.raises(KernelError, match="Exclusivity flag on, cannot modify"):
        there.check_add("a", "add", kind)
    assert not there.check_add("a", "replace", kind)
    other = "ingress" if kind == "clsact" else "clsact"
    with pytest.raises(KernelError, match="Invalid qdisc name"):
        there.check_add("a", "replace", other)


def test_a_change_takes_what_there_is() -> None:
    assert not hooks().check_add("a", "change", "clsact")
    with pytest.raises(KernelError, match="Invalid qdisc name"):
        hooks().check_add("a", "change", "ingress")


def test_a_hook_that_is_gone() -> None:
    there = hooks()
    there.check_delete("a", "clsact")
    there.check_delete("a", "")
    with pytest.raises(KernelError, match="Invalid qdisc name"):
        there.check_delete("a", "ingress")
    there.remove("a")
    assert there.get("a") is None and there.block_of("a") == 0
    with pytest.raises(KernelError, match=NO_HOOK):
        there.to_edit("a", 0, False)
    with pytest.raises(KernelError, match="Invalid handle"):
        there.check_delete("a", "clsact")
    with pytest.raises(KernelError, match="Cannot delete qdisc with handle of zero"):
        there.check_delete("a", "")
    with pytest.raises(KernelError, match="Qdisc not found"):
        there.check_add("a", "change", "clsact")
    assert there.check_add("a", "add", "ingress")


def test_a_block_is_there_while_a_device_has_it() -> None:
    there = hooks()
    with pytest.raises(KernelError, match=NO_BLOCK):
        there.to_edit("", 7, False)
    there.set("a", "clsact", 7)
    there.set("b", "ingress", 7)
    assert there.sharing(7) == ("a", "b")
    assert there.to_edit("", 7, False) == (Point("a"), Point("b"))
    assert there.block_of("b") == 7
    assert there.to_edit("a", 0, True) == (Point("a", egress=True),)
    for egress in (False, True):
        with pytest.raises(KernelError, match=SHARED):
            there.to_edit("b", 0, egress)
