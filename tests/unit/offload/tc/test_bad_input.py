"""Whatever is typed, only the model's own errors come out."""

from __future__ import annotations

import contextlib
import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.errors import OffloadError
from offload.flower import Key
from offload.tc import Refusal, batch, parse, validate

from .refusals import REFUSALS

LINES = [line.split() for line, _, _ in REFUSALS] + [
    (
        "filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower ip_proto tcp "
        "dst_port 80 ct_state +trk+new ct_label 01/ff src_ip 10.0.0.0/8 action ct "
        "commit zone 1 mark 1/2 label 01/02 nat src addr 1.1.1.1-1.1.1.2 port 1-2 pipe "
        "action tunnel_key set src_ip 0.0.0.0 dst_ip 7.7.7.8 id 98 dst_port 4789 "
        "action mirred egress redirect dev vxlan0"
    ).split(),
    "-s -j filter show dev ens1f0_0 ingress chain 1 prio 2 proto ip".split(),
]
WORDS = sorted({word for line in LINES for word in line})
words = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=8),
    st.sampled_from(WORDS).flatmap(
        lambda word: st.integers(0, len(word)).map(lambda n: word[:n])
    ),
    st.integers().map(str),
    st.integers(0).map(hex),
)


@st.composite
def mutated(draw: st.DrawFn) -> list[str]:
    line = list(draw(st.sampled_from(LINES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(line)))
        removed = draw(st.integers(0, 2))
        line[at : at + removed] = draw(st.lists(words, max_size=2))
    return line


@given(argv=st.one_of(mutated(), st.lists(words)))
def test_command_lines(argv: list[str]) -> None:
    with contextlib.suppress(OffloadError):
        validate(parse(argv, device_exists=lambda device: device == "lo"))


@given(text=st.text("ab \t\r\n#\\'\"\x00\x0b\u2028"))
def test_batches(text: str) -> None:
    with contextlib.suppress(OffloadError):
        for number, argv in batch(text):
            assert 1 <= number <= text.count("\n") + 1
            assert argv


def test_a_number_too_long_for_python() -> None:
    huge = "9" * 100_000
    for word in (huge, f"0x{huge}", f"0{'7' * 100_000}"):
        with contextlib.suppress(OffloadError):
            parse(["filter", "add", "dev", "d", "ingress", "prio", word])


def test_pedit_takes_so_many_keys() -> None:
    line = "actions add action pedit ex " + "munge ip ttl set 1 " * 129
    with pytest.raises(Refusal, match="Bad pedit construct"):
        parse(line.split())


def spelled_out(word: str) -> set[str]:
    """``[c]vlan_{id|prio}``: every word that is meant."""
    parts = re.split(r"[\[{]([^\]}]*)[\]}]", word)
    ways = [
        [part] if at % 2 == 0 else [*part.split("|"), *[""] * ("[" in word)]
        for at, part in enumerate(parts)
    ]
    return {"".join(way) for way in product(*ways)}


def test_flowers_help_has_every_key() -> None:
    with pytest.raises(Refusal) as refusal:
        parse("filter add dev lo ingress flower help".split())
    words = re.split(r"[\s,]+", str(refusal.value))
    named = {each for word in words for each in spelled_out(word)}
    assert {key.keyword for key in Key} | {"indev"} <= named
