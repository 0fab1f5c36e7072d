"""tc's options and objects."""

from __future__ import annotations

import pytest

from offload.tc import Batch, FilterShow, Foreign, Options, parse


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("", Options()),
        ("-s -d -j -p", Options(statistics=True, json=True, pretty=True)),
        ("-statistics -json -pretty", Options(True, True, True)),
        ("-stats -o -N -nm -t", Options(statistics=True, oneline=True)),
        ("-force -col -color=auto", Options(force=True)),
    ],
)
def test_options_stand_before_the_object(words: str, options: Options) -> None:
    command = parse(f"{words} filter show dev d ingress".split())
    assert command == FilterShow("d", options=options)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("", Foreign("")),
        ("-s", Foreign("")),
        ("-V", Foreign("-V")),
        ("-n other filter show dev d ingress", Foreign("-n")),
        ("-batch", Foreign("-batch")),
        ("qdisc add dev d root tbf", Foreign("qdisc", "d")),
        ("c show dev d", Foreign("class", "d")),
        ("chain", Foreign("chain")),
        ("monitor dev", Foreign("monitor")),
        ("help", Foreign("help")),
        ("-b - filter", Batch("-", Options(batch="-"))),
        ("-force -batch F", Batch("F", Options(force=True, batch="F"))),
    ],
)
def test_what_is_not_a_filter(line: str, command: object) -> None:
    assert parse(line.split()) == command
