"""The ct action in each form: added, listed back, shared by filters, deleted.

After the cases of the kernel's tc-testing suite for ct, and with a filter and a packet's
way where those have none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.command_line import CHAIN, FINE, Said, filter_add, flush, shown, typed
from topologies.testbed import Testbed

LABEL = "0102030405060708090a0b0c0d0e0f10"


@pytest.fixture
def hv1(module_net: Testbed) -> Iterator[Any]:
    """With no ct action that stands alone, before and after."""
    node = module_net["hv1"]
    yield node
    flush(node)
    for index in alone(node):
        assert typed(node, f"tc actions del action ct index {index}") == FINE


def alone(node: Any) -> list[int]:
    """The ct actions that no filter holds."""
    said = typed(node, "tc -j actions ls action ct")
    assert (said.code, said.stderr) == (0, "")
    _, actions = json.loads(said.stdout)
    return [each["index"] for each in actions["actions"] if not each["bind"]]


def listed(node: Any, index: int) -> str:
    """How the action of that number is listed."""
    said = typed(node, f"tc actions get action ct index {index}")
    assert (said.code, said.stderr) == (0, "")
    return said.stdout.split("action order 1: ")[1]


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ("", "ct zone 0 pipe"),
        ("clear", "ct clear pipe"),
        ("zone 404", "ct zone 404 pipe"),
        ("zone 65535", "ct zone 65535 pipe"),
        ("nat pipe", "ct zone 0 nat pipe"),
        ("nat zone 5", "ct zone 5 nat pipe"),
        ("commit", "ct commit zone 0 pipe"),
        ("commit zone 1", "ct commit zone 1 pipe"),
        ("commit force zone 1", "ct commit force zone 1 pipe"),
        ("commit mark 0x42", "ct commit mark 66 zone 0 pipe"),
        ("commit mark 0x42/0xf0", "ct commit mark 66/0xf0 zone 0 pipe"),
        ("commit mark 0x42/0xffffffff", "ct commit mark 66 zone 0 pipe"),
        (f"commit label {LABEL}", f"ct commit zone 0 label {LABEL} pipe"),
        (
            f"commit label {LABEL}/{'ff' * 8}",
            f"ct commit zone 0 label {LABEL}/{'ff' * 8}{'00' * 8} pipe",
        ),
        (
            f"commit zone 3 mark 4 label {LABEL}",
            f"ct commit mark 4 zone 3 label {LABEL} pipe",
        ),
        (
            "commit nat src addr 5.5.5.7 pipe",
            "ct commit zone 0 nat src addr 5.5.5.7 pipe",
        ),
        (
            "commit nat src addr 5.5.5.7-5.5.5.9 port 1000-2000",
            "ct commit zone 0 nat src addr 5.5.5.7-5.5.5.9 port 1000-2000 pipe",
        ),
        (
            "commit nat dst addr 5.5.5.7 port 80",
            "ct commit zone 0 nat dst addr 5.5.5.7 port 80 pipe",
        ),
        (
            "commit nat src addr 2001::1-2001::10 pipe",
            "ct commit zone 0 nat src addr 2001::1-2001::10 pipe",
        ),
        (
            "zone 404 commit mark 0x42 nat src addr 5.5.5.7 pipe",
            "ct commit mark 66 zone 404 nat src addr 5.5.5.7 pipe",
        ),
        (
            "commit nat src addr 5.5.5.7-5.5.6.0 port 1000-2000",
            "ct commit zone 0 nat src addr 5.5.5.7-5.5.6.0 port 1000-2000 pipe",
        ),
        (
            "commit nat src addr 2001::1 port 1000-2000",
            "ct commit zone 0 nat src addr 2001::1 port 1000-2000 pipe",
        ),
        (
            "commit force nat src addr 2001::1-2001::10 port 1000-2000",
            "ct commit force zone 0 nat src addr 2001::1-2001::10 port 1000-2000 pipe",
        ),
        (
            "commit nat dst addr 2001::1-2001::10 port 80",
            "ct commit zone 0 nat dst addr 2001::1-2001::10 port 80 pipe",
        ),
        ("label 123123", f"ct zone 0 label 123123{'00' * 13} pipe"),
        (
            f"label {LABEL}/{'ff' * 4}{'00' * 11}01",
            f"ct zone 0 label {LABEL}/{'ff' * 4}{'00' * 11}01 pipe",
        ),
        ("mark 0x42", "ct mark 66 zone 0 pipe"),
        ("mark 0x42/0xf0", "ct mark 66/0xf0 zone 0 pipe"),
        ("drop", "ct zone 0 drop"),
        ("zone 5 continue", "ct zone 5 continue"),
    ],
)
def test_each_form_is_added_listed_and_deleted(
    hv1: Any, words: str, printed: str
) -> None:
    assert typed(hv1, f"tc actions add action ct index 42 {words}") == FINE
    assert listed(hv1, 42).startswith(f"{printed}\n\t index 42 ref 1 bind 0\n")
    assert alone(hv1) == [42]
    assert typed(hv1, "tc actions del action ct index 42") == FINE
    assert alone(hv1) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("zone 10000001", 255, 'ct: Illegal "zone"'),
        ("clear commit", 255, "ct: clear can only be used alone"),
        ("clear nat pipe", 255, "ct: clear can only be used alone"),
        ("commit nat pipe", 255, "ct: commit and nat must set src or dst"),
        (
            "nat src addr 5.5.5.7 pipe",
            255,
            "ct: src or dst is only valid if commit is set",
        ),
        (
            "commit nat src addr 5.5.5.7 nat dst addr 5.5.5.8 pipe",
            255,
            "ct: src and dst nat can't be used together",
        ),
        ("commit nat src addr 5.5.5.x", 1, "Error: any valid address is expected"),
        ("commit nat src addr 5.5.5.7 port x", 255, "ct: Illegal nat port range"),
        ("commit mark x", 255, 'ct: Illegal "mark"'),
        ("commit label x1", 255, "is wrong: ct: labels must be a hex string"),
        (f"commit label {LABEL}00", 255, "34 Max allowed size 32"),
        (f"commit label {LABEL}/xx", 255, "ct: labels mask must be a hex string"),
        ("zone x", 255, 'ct: Illegal "zone"'),
        ("cookie abc", 255, "cookie must be a hex string"),
        (f"cookie {LABEL}00", 255, "34 Max allowed size 32"),
        ("goto chain 42", 255, "Error: can't goto NULL proto/chain."),
        ("skip_sw", 255, "RTNETLINK answers: Invalid argument"),
    ],
)
def test_what_is_refused_makes_no_action(
    hv1: Any, words: str, code: int, said: str
) -> None:
    answer = typed(hv1, f"tc actions add action ct {words}")
    assert answer.code == code and said in answer.stderr
    assert alone(hv1) == []


@pytest.mark.parametrize("words", ["", "clear", "zone 5", "mark 0x42/0xf0"])
def test_a_cookie_may_have_sixteen_bytes(hv1: Any, words: str) -> None:
    cookie = "aa11bb22cc33dd44ee55ff66aa11b1b2"
    line = f"tc actions add action ct {words} index 42 cookie {cookie}"
    assert typed(hv1, line) == FINE
    assert f"\tcookie {cookie}\n" in listed(hv1, 42)


def test_flags_of_its_own(hv1: Any) -> None:
    """Behind the cookie, in tc's order."""
    line = "tc actions add action ct index 42 cookie aa hw_stats disabled no_percpu"
    assert typed(hv1, f"{line} skip_hw") == FINE
    assert "\tcookie aa\n" in listed(hv1, 42)
    for flag in ("no_percpu", "skip_hw", "hw_stats disabled"):
        assert flag in listed(hv1, 42)


def test_a_cookie_is_kept_and_replaced(hv1: Any) -> None:
    assert typed(hv1, "tc actions add action ct zone 1 index 42 cookie aabbcc") == FINE
    assert "\tcookie aabbcc\n" in listed(hv1, 42)
    again = typed(hv1, "tc actions add action ct zone 2 index 42")
    assert again.code == 255 and "File exists" in again.stderr
    assert typed(hv1, "tc actions replace action ct zone 2 index 42 cookie dd") == FINE
    assert "ct zone 2 pipe" in listed(hv1, 42) and "\tcookie dd\n" in listed(hv1, 42)


@pytest.mark.parametrize(
    ("old", "new", "printed"),
    [
        ("zone 1", "commit zone 2 mark 3", "ct commit mark 3 zone 2 pipe"),
        ("commit force zone 1", "clear", "ct clear pipe"),
        ("clear", "nat zone 5 drop", "ct zone 5 nat drop"),
        (
            "commit nat src addr 5.5.5.7 pipe",
            "commit nat dst addr 5.5.5.8 pipe",
            "ct commit zone 0 nat dst addr 5.5.5.8 pipe",
        ),
    ],
)
def test_one_form_replaces_another(hv1: Any, old: str, new: str, printed: str) -> None:
    assert typed(hv1, f"tc actions add action ct index 42 {old}") == FINE
    assert typed(hv1, f"tc actions replace action ct index 42 {new}") == FINE
    assert listed(hv1, 42).startswith(f"{printed}\n\t index 42 ref 1 bind 0\n")


def test_replace_makes_what_is_not_there(hv1: Any) -> None:
    assert typed(hv1, "tc actions replace action ct zone 6 index 42") == FINE
    assert alone(hv1) == [42]


def test_filters_share_an_action_and_hold_it(hv1: Any) -> None:
    assert typed(hv1, "tc actions add action ct zone 7 index 42") == FINE
    for last in (1, 2):
        line = filter_add(f"dst_ip 10.9.0.{last} action ct index 42 pipe action drop")
        assert typed(hv1, line) == FINE
    for each in shown(hv1):
        ct = each["options"]["actions"][0]
        assert (ct["zone"], ct["ref"], ct["bind"]) == (7, 3, 2)
    refused = typed(hv1, "tc actions del action ct index 42")
    assert refused.code == 255
    assert refused.stderr.startswith("Error: Failed to delete TC action.\n")
    assert typed(hv1, "tc actions change action ct zone 8 index 42") == FINE
    assert {each["options"]["actions"][0]["zone"] for each in shown(hv1)} == {8}
    flush(hv1)
    assert "ref 1 bind 0" in listed(hv1, 42)
    flushed = typed(hv1, "tc actions flush action ct")
    assert (flushed.code, alone(hv1)) == (1, [42]), "up to the first that is bound"


def test_replace_is_atomic_for_who_races(hv1: Any) -> None:
    """Of two at a time, either is what stands afterwards, whole."""
    place = f"dev ens1f0_0 ingress chain {CHAIN} prio 1 handle 1 proto ip"
    line = f"tc filter replace {place} flower dst_ip 10.9.0.1 action"
    assert typed(hv1, f"{line} drop") == FINE
    ways = ("drop", "ct zone 5 pipe action goto chain 9")
    for _ in range(5):
        racing = [hv1.popen(f"{line} {way}".split()) for way in ways * 2]
        assert [each.wait(30) for each in racing] == [0] * 4
        [one] = shown(hv1)
        assert [each["kind"] for each in one["options"]["actions"]] in (
            ["gact"],
            ["ct", "gact"],
        )


def test_blocks_and_chains_are_tcs_too(hv1: Any) -> None:
    device = "dev ens1f0_0"
    assert typed(hv1, f"tc chain add {device} ingress chain 77") == FINE
    said = typed(hv1, f"tc chain show {device} ingress")
    assert "chain parent ffff: chain 77 \n" in said.stdout
    assert typed(hv1, f"tc chain del {device} ingress chain 77") == FINE
    assert typed(hv1, "tc filter show block 9") == Said(
        1, "", 'Cannot find block "9"\n'
    )
