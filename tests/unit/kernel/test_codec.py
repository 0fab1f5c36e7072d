"""Cases and outcomes survive JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.kernel.cases.case import (
    Case,
    Command,
    Neighbour,
    Port,
    PortKind,
    Send,
    Wait,
)
from tests.kernel.cases.codec import BadJson, decode, encode
from tests.kernel.cases.outcome import (
    Connection,
    Counters,
    Event,
    EventKind,
    Filters,
    Outcome,
    Ran,
    Seen,
    StepOutcome,
    Tuple,
)

CASE = Case(
    name="all of it",
    ports=(
        Port("ens1f0", address="7.7.7.7/24", neighbours=(Neighbour("7.7.7.8", "m"),)),
        Port("vxlan0", PortKind.TUNNEL),
    ),
    commands=("tc filter show dev ens1f0 ingress",),
    steps=(Send("ens1f0", b"\x01\xff"), Wait(1.5), Command("conntrack -L")),
)
CONNECTION = Connection(
    protocol=6,
    original=Tuple("10.0.0.1", "10.0.0.2", 1, 2),
    reply=Tuple("10.0.0.2", "10.0.0.1", 2, 1),
    status=("ASSURED",),
    original_counters=Counters(1, 40),
)
OUTCOME = Outcome(
    commands=(Ran(0, "out", ""),),
    steps=(
        StepOutcome(
            left=(Seen("a", b"\x01"),),
            stack=(Seen("b", b"\x02"),),
            events=(Event(EventKind.NEW, CONNECTION),),
        ),
        StepOutcome(ran=Ran(1, "", "no"), error="why"),
    ),
    filters=(Filters("ens1f0", "ingress", [{"kind": "flower"}]),),
    connections=(CONNECTION,),
)


@pytest.mark.parametrize("value", [CASE, OUTCOME])
def test_there_and_back(value: Any) -> None:
    """What is encoded and decoded is what it was."""
    assert decode(type(value), json.loads(json.dumps(encode(value)))) == value


def test_a_step_says_what_it_does() -> None:
    """And a frame is hex."""
    assert encode(CASE)["steps"][0] == {"do": "send", "port": "ens1f0", "frame": "01ff"}


def test_defaults_are_left_out() -> None:
    """A case typed by hand needs only what it is about."""
    assert encode(Case("x", (Port("p"),))) == {"name": "x", "ports": [{"name": "p"}]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"name": "x", "ports": [], "filters": []}', "Case has no filters"),
        ('{"name": "x"}', "ports"),
        ('{"name": "x", "ports": [], "steps": [{"do": "jump"}]}', "jump"),
        (
            '{"name": "x", "ports": [], "steps": [{"do": "send", "port": "p", "frame": "0"}]}',
            "hex",
        ),
        ('{"name": "x", "ports": [{"name": "p", "kind": "road"}]}', "road"),
        ("[]", "Case"),
    ],
)
def test_bad_json_is_refused_with_the_reason(text: str, reason: str) -> None:
    """In one line that names what is wrong."""
    with pytest.raises(BadJson, match=reason):
        decode(Case, json.loads(text))
