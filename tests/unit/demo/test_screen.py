"""The screen: plain where it must be, aligned always."""

import io
import re

import pytest

from demo.checks import Counts, equal
from demo.conclusion import conclude, groups, row
from demo.report import Report
from demo.screen import Screen, Style


class Out(io.StringIO):
    """A stream with an encoding, and a terminal if one asks."""

    def __init__(self, encoding: str = "utf-8", terminal: bool = False) -> None:
        super().__init__()
        self._encoding, self._terminal = encoding, terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal


def screen(out: Out, *, terminal: bool = False, width: int = 79) -> Screen:
    return Screen(out, width=width, colour=terminal, live=terminal, boxes=True)


def bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[mK]", "", text)


def test_a_pipe_gets_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Out()
    plain = Screen.of(out)
    plain.heading("One")
    plain.moving("not yet")
    plain.settled(plain.paint("done", Style.GOOD))
    assert "\x1b" not in out.getvalue() and "\r" not in out.getvalue()
    assert "not yet" not in out.getvalue() and out.getvalue().endswith("done\n")


def test_a_terminal_gets_colour_unless_it_minds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Out(terminal=True)
    assert Screen.of(terminal).paint("x", Style.GOOD) != "x"
    assert Screen.of(terminal, plain=True).paint("x", Style.GOOD) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen.of(terminal).paint("x", Style.GOOD) == "x"


def test_an_encoding_without_boxes_gets_ascii() -> None:
    out = Out("ascii")
    plain = Screen.of(out)
    plain.heading("One")
    plain.line(plain.bar(Counts(1, 1), 4) + "┌┴┼│")
    assert out.getvalue().isascii()
    assert out.getvalue().endswith("##..+++|\n")


def test_the_line_that_moves_is_replaced() -> None:
    out = Out()
    live = screen(out, terminal=True)
    live.moving("one")
    live.moving("two")
    live.settled("three")
    live.moving("four")
    live.line("five")
    assert out.getvalue() == "\rone\x1b[K\rtwo\x1b[K\rthree\x1b[K\n\rfour\x1b[K\nfive\n"


@pytest.mark.parametrize(
    ("counts", "drawn"),
    [
        (Counts(0, 0), "    "),
        (Counts(5, 0), "████"),
        (Counts(0, 5), "░░░░"),
        (Counts(1, 9999), "█░░░"),
        (Counts(9999, 1), "███░"),
    ],
)
def test_a_bar_shows_the_least_of_both(counts: Counts, drawn: str) -> None:
    assert screen(Out()).bar(counts, 4) == drawn


def test_long_commands_go_on_as_a_shell_would_have_them() -> None:
    out = Out()
    screen(out, width=40).command("hv1", "tcpdump -n -e -t -c 1 -i ens1f0 host 7.7.7.7")
    first, second = out.getvalue().splitlines()
    assert first == "  hv1# tcpdump -n -e -t -c 1 -i ens1f0 \\"
    assert second == "           host 7.7.7.7"


def test_hypervisors_share_a_line_of_the_table() -> None:
    same = [equal("x", 0, 0, "hv1"), equal("y", 1, 1), equal("x", 0, 0, "hv2")]
    first, second = groups(same)
    assert (row(first).seen, row(second).seen) == ("0 on each", "1")
    differing = row([equal("x", 0, 0, "hv1"), equal("x", 0, 7, "hv2")])
    assert (differing.seen, differing.ok) == ("hv1 0  hv2 7", False)


def test_the_end_says_what_failed_and_why_it_ended() -> None:
    out, report = Out(), Report()
    report.checks += [equal("good", 1, 1), equal("bad", 1, 2)]
    report.error = "interrupted (SIGINT)"
    conclude(screen(out, terminal=True), report)
    lines = bare(out.getvalue()).splitlines()
    assert "  ok    good   1         1" in lines
    assert "  FAIL  bad    1         2" in lines
    assert any("1 of 2 checks ok" in x and "interrupted (SIGINT)" in x for x in lines)
