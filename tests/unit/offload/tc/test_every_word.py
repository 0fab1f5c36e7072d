"""Every word that the parser knows has a test: packets meet it, or it is refused here.

The words are the parser's own tables.  That one is in an end-to-end test is all that is
looked for there; whether the test is a good one, who reads it sees.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from offload.errors import Unsupported
from offload.flower import Key
from offload.tc import (
    act_csum,
    act_ct,
    act_pedit,
    act_skbedit,
    act_tunnel_key,
    act_vlan,
    actions,
    chain,
    control,
    filter,
    flower,
    parse,
    qdisc,
)

_TESTS = Path(__file__).resolve().parents[3]
_BETWEEN_STRINGS = re.compile(r'"\s*\n\s*f?"')

OPTS = {"geneve_opts", "vxlan_opts", "erspan_opts"}
ETHERNET = {"pop_eth", "push_eth", "dst_mac", "src_mac"}
KEYS = {key.keyword for key in Key} | {"indev", "action"}
REFUSED_BY_FLOWER = set(flower._KEYWORDS) - KEYS - set(flower._FLAGS)
SAME = {"delete": "del", "list": "show", "lst": "show"}
IN_VLAN = set(act_vlan._KEYWORDS) - set(act_vlan._MODES) - ETHERNET


def written(*where: str) -> str:
    """What stands in test files, each literal in one line."""
    files = [path for pattern in where for path in sorted(_TESTS.glob(pattern))]
    return _BETWEEN_STRINGS.sub("", "\n".join(p.read_text("utf-8") for p in files))


def unwritten(words: Iterable[str], pattern: str, text: str) -> list[str]:
    """The words that the text has not; ``WORD`` is where one stands in the pattern."""
    asked = ((word, pattern.replace("WORD", re.escape(word))) for word in words)
    return [word for word, each in asked if not re.search(each, text)]


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (KEYS, r"\bWORD "),
        (flower._FLAGS, r"\bWORD\b"),
        (actions.PARSERS, r"[\" ]WORD\b"),
        (set(act_ct._KEYWORDS) - {"help", "helper"}, r"\bct [^\n\"]*\bWORD\b"),
        (act_csum._TARGETS, r"[\" ]WORD[\" ]"),
        (set(act_skbedit._KEYWORDS) - {"help"}, r"skbedit WORD\b"),
        (set(act_tunnel_key._KEYWORDS) - {"help"} - OPTS, r"\bWORD\b"),
        (set(act_vlan._MODES) - ETHERNET, r"vlan WORD\b"),
        (IN_VLAN - {"help"}, r"(vlan|push|modify)\b[^\n\"]* WORD\b"),
        *(
            (fields, rf"(\b{header} |[\"])WORD[\" ]")
            for header, (_, fields) in act_pedit._HEADERS.items()
        ),
        (act_pedit._IP_OLD, r"munge ip WORD\b"),
        (set(act_pedit._COMMANDS), r"munge [a-z{}]+ [a-z_{}]+ WORD\b"),
        (act_pedit._WIDTHS, r"munge offset \d+ WORD\b"),
        (control._VERBS, r"\bWORD\b"),
    ],
)
def test_packets_meet_it(words: Iterable[str], pattern: str) -> None:
    """Or it is refused there."""
    assert unwritten(words, pattern, written("e2e/test_*.py")) == []


@pytest.mark.parametrize(
    ("object_", "words"),
    [
        ("filter", filter._COMMANDS),
        ("chain", chain._KEYWORDS),
        ("qdisc", qdisc._VERBS),
        ("actions", "add change replace delete get list flush".split()),
    ],
)
def test_a_command_is_typed(object_: str, words: Iterable[str]) -> None:
    """Or recorded from the real tc, or it is another word for one that is."""
    typed = {SAME.get(word, word) for word in words}
    text = written("e2e/test_*.py", "conversations/*.tc")
    assert unwritten(typed, rf"\b{object_} WORD\b", text) == []


@pytest.mark.parametrize("object_", ["filter", "chain", "qdisc"])
@pytest.mark.parametrize("words", SAME.items())
def test_two_words_for_the_same(object_: str, words: tuple[str, str]) -> None:
    lines = [f"{object_} {word} dev d ingress".split() for word in words]
    assert parse(lines[0]) == parse(lines[1])


@pytest.mark.parametrize(
    "words",
    [
        *(f"{word} 1" for word in sorted(REFUSED_BY_FLOWER)),
        *(f"action {word} 1" for word in actions.NOT_OURS),
        *(f"action tunnel_key set {word} 1" for word in sorted(OPTS)),
        *(f"action vlan push_eth {word} 1" for word in sorted(ETHERNET)),
        "action ct helper ftp",
    ],
)
def test_it_is_refused(words: str) -> None:
    with pytest.raises(Unsupported, match=": not supported by the testbed"):
        parse(f"filter add dev d ingress proto ip flower {words}".split())


@pytest.mark.parametrize("kind", filter.OTHER_KINDS)
def test_another_classifier_is_refused(kind: str) -> None:
    with pytest.raises(Unsupported, match=f"filter {kind}: not supported"):
        parse(f"filter add dev d ingress {kind}".split())
