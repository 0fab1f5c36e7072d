"""Options: sense and nonsense, from words and from a command line."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from topologies.errors import BadOption
from topologies.options import Datapath, Options, add_arguments, from_arguments


def parsed(*words: str) -> Options:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return from_arguments(parser.parse_args(words))


def test_nothing_said_is_the_usual() -> None:
    assert parsed() == Options() == Options.from_words()


def test_command_line() -> None:
    options = parsed(
        *("--no-hw-offload", "--no-filters", "--udp-timeout", "3"),
        *("--datapath", "kernel", "--profile", "mlx5-6.1"),
    )
    assert (options.hw_tc_offload, options.filters, options.udp_timeout_s) == (
        False,
        False,
        3,
    )
    assert options.datapath.ovs_type == "system"
    assert options.profile == "mlx5-6.1"


def test_words_of_mn() -> None:
    options = Options.from_words(
        hw_tc_offload=0, run_dir_root="/run/x", datapath="user"
    )
    assert not options.hw_tc_offload
    assert options.run_dir_root == Path("/run/x")
    assert options.datapath is Datapath.USER


@pytest.mark.parametrize(
    "words",
    [
        {"udp_timeout_s": 0},
        {"tcp_timeout_s": -1},
        {"bandwidth_mbps": 0},
        {"bandwidth_mbps": 1001},
        {"delay_ms": -1},
        {"datapath": "dpdk"},
        {"profile": "cx3"},
        {"run_dir_root": "/" + "x" * 60},
        {"run_dir_root": "/run/a b"},
        {"no_such_option": 1},
    ],
)
def test_nonsense(words: dict[str, Any]) -> None:
    with pytest.raises(BadOption):
        Options.from_words(**words)


def test_names_of_datapaths() -> None:
    assert Datapath.USER.ovs_type == "netdev"
    assert Datapath.KERNEL.ovs_type == "system"
