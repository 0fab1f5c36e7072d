"""What hardware refuses: the filter stands in software, and can say why it is not in hardware."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.command_line import (
    FINE,
    Said,
    filter_add,
    filter_text,
    flush,
    refused,
    shown,
    typed,
    unchanged,
)
from topologies.testbed import Testbed

NEW = "matching on ct_state +new isn't supported"
STATES = "only ct_state trk, est and new are supported for offload"
LABELS = "only lower 32bits of ct_labels are supported for offload"
NO_VERDICT = "Rule must have at least one forward/drop action"
MIRROR = "action mirred egress mirror dev ens1f0_1"
LABEL_BIT_32 = "0000000001"

REFUSED = [
    ("ens1f0_0", "ct_state +trk+new action drop", NEW),
    ("ens1f0_0", "ct_state +trk+rel action drop", STATES),
    ("ens1f0_0", "ct_state +trk-rel action drop", STATES),
    ("ens1f0_0", "ct_state +trk+inv action drop", STATES),
    ("ens1f0_0", "ct_state +trk+est-rpl action drop", STATES),
    ("ens1f0_0", f"ct_label {LABEL_BIT_32}/{LABEL_BIT_32} action drop", LABELS),
    ("ens1f0_0", "ct_label 01 action drop", LABELS),
    (
        "ens1f0_0",
        f"action ct pipe {MIRROR} action goto chain 9",
        "Can't offload mirroring with action ct",
    ),
    (
        "ens1f0_0",
        "action ct zone 1 pipe action ct zone 2 pipe action goto chain 9",
        "Multiple CT actions are not supported",
    ),
    (
        "vxlan0",
        "action tunnel_key unset pipe action goto chain 9",
        "Decap with goto isn't supported",
    ),
    (
        "ens1f0_0",
        f"{MIRROR} action goto chain 9",
        "Mirroring goto chain rules isn't supported",
    ),
    ("ens1f0_0", MIRROR, NO_VERDICT),
    ("ens1f0_0", "action ct", NO_VERDICT),
    ("ens1f0_0", "action pass", "The offload action is not supported"),
]

TAKEN = [
    ("ens1f0_0", "ct_state +trk+est action drop"),
    ("ens1f0_0", "ct_state +trk-new action drop"),
    ("ens1f0_0", "ct_label 01/ff action drop"),
    ("ens1f0_0", "ct_label 00000080/00000080 action drop"),
    ("ens1f0_0", "action ct pipe action goto chain 9"),
    ("ens1f0_0", "action ct commit pipe action mirred egress redirect dev ens1f0_1"),
    ("ens1f0_0", f"{MIRROR} action mirred egress redirect dev ens1f0_1"),
    (
        "vxlan0",
        "action tunnel_key unset pipe action mirred egress redirect dev ens1f0_0",
    ),
    ("ens1f0_0", "action drop"),
]


@pytest.fixture
def hv1(module_net: Testbed) -> Iterator[Any]:
    yield module_net["hv1"]
    flush(module_net["hv1"])


@pytest.mark.parametrize(("device", "words", "reason"), REFUSED)
def test_refused_stands_in_software(
    hv1: Any, device: str, words: str, reason: str
) -> None:
    said = typed(hv1, filter_add(f"verbose {words}", device))
    assert (said.code, said.stdout + said.stderr) == (
        0,
        f"Warning: mlx5_core: {reason}.\n",
    )
    options = shown(hv1, device)[0]["options"]
    assert options["not_in_hw"] and "in_hw" not in options


def test_the_reason_is_no_output(hv1: Any) -> None:
    """Source: iproute2 lib/libnetlink.c:print_ext_ack_msg"""
    said = typed(hv1, filter_add("verbose ct_state +trk+new action drop"))
    assert said == Said(0, "", f"Warning: mlx5_core: {NEW}.\n")


@pytest.mark.parametrize(("device", "words", "reason"), REFUSED[:1] + REFUSED[7:11])
def test_refused_says_nothing_unasked(
    hv1: Any, device: str, words: str, reason: str
) -> None:
    assert typed(hv1, filter_add(words, device)) == FINE


@pytest.mark.parametrize(("device", "words", "reason"), REFUSED)
def test_refused_with_skip_sw_is_an_error(
    hv1: Any, device: str, words: str, reason: str
) -> None:
    with unchanged(hv1):
        said = typed(hv1, filter_add(f"skip_sw {words}", device))
        assert said == refused(f"mlx5_core: {reason}")


@pytest.mark.parametrize(("device", "words"), TAKEN)
def test_taken(hv1: Any, device: str, words: str) -> None:
    assert typed(hv1, filter_add(f"verbose {words}", device)) == FINE
    options = shown(hv1, device)[0]["options"]
    assert options["in_hw"] and options["in_hw_count"] == 1


def test_skip_hw_and_skip_sw_are_shown(hv1: Any) -> None:
    assert typed(hv1, filter_add("skip_hw verbose dst_ip 10.9.0.1 action drop")) == FINE
    assert typed(hv1, filter_add("skip_sw verbose dst_ip 10.9.0.2 action drop")) == FINE
    one, two = [each["options"] for each in shown(hv1)]
    assert one["skip_hw"] and one["not_in_hw"] and "skip_sw" not in one
    assert two["skip_sw"] and two["in_hw"] and "skip_hw" not in two


def test_hw_tc_offload_off_and_on(hv1: Any) -> None:
    typed(hv1, filter_add("dst_ip 10.9.0.1 action drop"))
    before = filter_text(hv1)
    assert typed(hv1, "ethtool -K ens1f0_0 hw-tc-offload off") == FINE
    assert " in_hw" not in filter_text(hv1)
    with unchanged(hv1):
        said = typed(hv1, filter_add("skip_sw dst_ip 10.9.0.2 action drop"))
        assert said.code == 2 and said.stderr.startswith("Error: mlx5_core: ")
    assert typed(hv1, "ethtool -K ens1f0 hw-tc-offload on") == FINE
    assert filter_text(hv1) == before


def test_a_filter_of_hardware_alone_keeps_it_on(hv1: Any) -> None:
    typed(hv1, filter_add("skip_sw dst_ip 10.9.0.1 action drop"))
    with unchanged(hv1):
        said = typed(hv1, "ethtool -K ens1f0_0 hw-tc-offload off")
    assert said.code == 1
    assert "Active offloaded tc filters, can't turn hw_tc_offload off" in said.stderr
