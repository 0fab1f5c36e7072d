"""What the kernel refuses."""

from __future__ import annotations

import pytest

from offload.errors import KernelError, Unsupported
from offload.tc import kernel_text, parse, validate

ADD = "filter add dev d ingress"


@pytest.mark.parametrize(
    "line",
    [
        f"{ADD} chain 268435455 flower",
        f"{ADD} flower skip_hw",
        f"{ADD} flower skip_sw",
        *(
            f"{ADD} flower ct_state {state}"
            for state in (
                *("-trk", "-trk-est", "-new-est", "+trk", "+trk+new", "+trk-new+est"),
                *("+trk+est+rpl", "+trk+inv", "+trk+inv-new", "+trk+rel+rpl"),
            )
        ),
        f"{ADD} flower action tunnel_key set src_ip ::1 dst_ip ::2",
        f"{ADD} flower " + "action drop " * 32,
        "filter change dev d ingress prio 1 proto ip flower",
        "chain add dev d ingress chain 268435455",
        "chain show dev d ingress chain 3",
        "filter del dev d ingress",
        "filter del dev d ingress chain 3",
        "filter show dev d ingress chain 3",
        "filter get dev d ingress proto ip prio 1 handle 1 flower",
        "filter show dev d",
        "qdisc show dev d",
    ],
)
def test_the_kernel_takes(line: str) -> None:
    validate(parse(line.split()))


@pytest.mark.parametrize(
    ("line", "extack"),
    [
        (
            "filter change dev d ingress flower",
            "Invalid filter command with priority of zero",
        ),
        ("filter add dev d flower", "Qdisc not classful"),
        ("filter del dev d", "Qdisc not classful"),
        *(
            (
                f"filter {verb} dev d ingress chain 268435456 {kind}",
                "Specified chain index exceeds upper limit",
            )
            for verb, kind in (
                *(("add", "flower"), ("del", ""), ("show", "")),
                ("get", "proto ip pref 1 handle 1 flower"),
            )
        ),
        *(
            (
                f"filter del dev d ingress {words}",
                "Cannot flush filters with protocol, handle or kind set",
            )
            for words in ("proto ip", "handle 1 flower", "flower")
        ),
        (f"{ADD} flower skip_sw skip_hw", ""),
        (
            f"{ADD} flower " + "action drop " * 33,
            "Only support up to 32 actions per filter",
        ),
        ("chain add dev d chain 3", "Qdisc not classful"),
        (
            "chain del dev d ingress chain 268435456",
            "Specified chain index exceeds upper limit",
        ),
        (
            "chain show dev d ingress chain 268435456",
            "Specified chain index exceeds upper limit",
        ),
        (f"{ADD} flower ct_state +new", "no trk, so no other flag can be set"),
        (f"{ADD} flower ct_state -trk+est", "no trk, so no other flag can be set"),
        (f"{ADD} flower ct_state +trk+new+est", "new and est are mutually exclusive"),
        (f"{ADD} flower ct_state +trk+new+rpl", "new and rpl are mutually exclusive"),
        (f"{ADD} flower ct_state +trk+inv+est", "when inv is set, only trk may be set"),
    ],
)
def test_the_kernel_refuses(line: str, extack: str) -> None:
    command = parse(line.split())
    with pytest.raises(KernelError) as refusal:
        validate(command)
    assert refusal.value.extack == extack


def test_a_change_that_names_no_protocol() -> None:
    """Real tc makes a filter of it that matches EtherType 0."""
    with pytest.raises(Unsupported, match="^filter change: say the protocol$"):
        validate(parse("filter change dev d ingress prio 1 flower".split()))


def test_how_tc_prints_it() -> None:
    said = "\nWe have an error talking to the kernel"
    assert kernel_text(KernelError("Too late")) == f"Error: Too late.{said}"
    assert kernel_text(KernelError("Too late.")) == f"Error: Too late.{said}"
    text = kernel_text(KernelError(errno_text="File exists"))
    assert text == f"RTNETLINK answers: File exists{said}"
