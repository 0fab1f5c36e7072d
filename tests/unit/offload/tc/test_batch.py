"""Lines of a batch file."""

from __future__ import annotations

import pytest

from offload.tc import Refusal, batch, failed


def test_numbers_words_comments_and_blank_lines() -> None:
    text = "# a comment\nfilter show\n\n \t \nfilter  add\tdev d # all\r\nlast"
    assert list(batch(text)) == [
        (2, ["filter", "show"]),
        (5, ["filter", "add", "dev", "d"]),
        (6, ["last"]),
    ]


def test_a_backslash_joins_lines_and_the_last_one_numbers_them() -> None:
    text = "filter add \\\n  dev d \\\n  flower # x \\\nnext\n"
    assert list(batch(text)) == [
        (3, ["filter", "add", "dev", "d", "flower"]),
        (4, ["next"]),
    ]


def test_quotes_count_where_a_word_begins() -> None:
    text = """a 'b c' "d 'e" f'g '' 'h'i\n"""
    assert list(batch(text)) == [
        (1, ["a", "b c", "d 'e", "f'g", "", "h", "i"]),
    ]


def test_only_a_newline_ends_a_line() -> None:
    assert list(batch("a\x0bb\x0cc\nd")) == [(1, ["a\x0bb\x0cc"]), (2, ["d"])]


def test_a_nul_ends_a_line_as_it_does_tcs_string() -> None:
    text = "filter show\0 dev d\nfilter\0 \\\n#\n\0nonsense\nlast # \0\n"
    assert list(batch(text)) == [
        (1, ["filter", "show"]),
        (2, ["filter"]),
        (5, ["last"]),
    ]


@pytest.mark.parametrize(
    ("text", "said", "exit_code"),
    [
        ("a 'b", "Unterminated quoted string", 1),
        ("a \\\n", "Missing continuation line", 0),
        ("a " * 600, "Too many arguments to command", 1),
    ],
)
def test_lines_that_cannot_be_split(text: str, said: str, exit_code: int) -> None:
    lines = batch(f"fine\n{text}")
    assert next(lines) == (1, ["fine"])
    with pytest.raises(Refusal) as refusal:
        next(lines)
    assert str(refusal.value) == said
    assert refusal.value.exit_code == exit_code


def test_a_failed_line() -> None:
    assert failed("-", 3) == "Command failed -:3"
