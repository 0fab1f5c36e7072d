"""What a user may choose about a run, checked before anything is built."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

from offload import profile as profiles
from topologies.errors import BadOption

RUN_DIR_ROOT = Path("/run/ct-offload")
DATAPATH_VARIABLE = "CT_OFFLOAD_DATAPATH"
"""In the environment: the datapath of a run that does not choose one itself."""
FLOW_TABLE_TIMEOUT_S = 30
"""Source: include/net/netfilter/nf_flow_table.h:NF_FLOW_TIMEOUT"""

# A Unix socket's path has 107 bytes and a zero (unix(7)); the longest below
# the root is "/0123abcd/<hypervisor>/ovs-vswitchd.4194304.ctl".
_LONGEST_ROOT = 50
# mininet.link.TCIntf.bwParamMax: above it, Mininet ignores the limit.
_MAX_BANDWIDTH_MBPS = 1000
_MAX_TIMEOUT_S = 0xFFFF  # an OpenFlow rule has no room for more


class Datapath(Enum):
    """Which of Open vSwitch's datapaths carries the packets."""

    DEFAULT = "default"  # what the environment says (DATAPATH_VARIABLE), else USER
    AUTO = "auto"  # KERNEL where this machine has it, else USER
    USER = "user"
    KERNEL = "kernel"

    @classmethod
    def named(cls, word: Datapath | str) -> Datapath:
        """Return the datapath of that name, or raise BadOption."""
        try:
            return cls(word)
        except ValueError:
            names = ", ".join(kind.value for kind in cls)
            raise BadOption(f"unknown datapath {word!r}: there are {names}") from None

    @property
    def ovs_type(self) -> str:
        """What Open vSwitch calls it (``datapath_type``), once ``requirements`` decided on one."""
        return {Datapath.USER: "netdev", Datapath.KERNEL: "system"}[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How one run differs from the usual; raises BadOption when made from nonsense."""

    hw_tc_offload: bool = True
    filters: bool = True
    profile: str = profiles.DEFAULT.name
    card: Mapping[str, int] = field(default_factory=dict)
    datapath: Datapath = Datapath.DEFAULT
    bandwidth_mbps: float | None = None
    delay_ms: float | None = None
    udp_timeout_s: int | None = None
    tcp_timeout_s: int | None = None
    exact_counters: bool = False
    run_dir_root: Path = RUN_DIR_ROOT
    keep_logs: Path | None = None

    def __post_init__(self) -> None:
        try:
            profiles.named(self.profile)
        except profiles.UnknownProfile as unknown:
            raise BadOption(str(unknown)) from None
        _within("bandwidth_mbps", self.bandwidth_mbps, 0.01, _MAX_BANDWIDTH_MBPS)
        _within("delay_ms", self.delay_ms, 0, 60_000)
        _within("udp_timeout_s", self.udp_timeout_s, 1, _MAX_TIMEOUT_S)
        _within("tcp_timeout_s", self.tcp_timeout_s, 1, _MAX_TIMEOUT_S)
        if any(
            character.isspace() or character == "\\"
            for character in str(self.run_dir_root)
        ):
            raise BadOption(
                f"run_dir_root {self.run_dir_root}: no blanks or backslashes, please"
            )
        if len(str(self.run_dir_root.absolute()).encode()) > _LONGEST_ROOT:
            raise BadOption(
                f"run_dir_root {self.run_dir_root} is too long for Unix sockets:"
                f" at most {_LONGEST_ROOT} bytes"
            )

    @classmethod
    def from_words(cls, **words: Any) -> Options:
        """Make options of loosely typed values, as ``mn --controller x,a=b`` gives them."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(words) - known):
            raise BadOption(
                f"unknown option {unknown[0]}: there are {', '.join(sorted(known))}"
            )
        for name in ("hw_tc_offload", "filters", "exact_counters"):
            if name in words:
                words[name] = bool(words[name])
        for name in ("run_dir_root", "keep_logs"):
            if words.get(name) is not None:
                words[name] = Path(words[name])
        if isinstance(words.get("card"), str):
            words["card"] = _card(words["card"])
        words["datapath"] = Datapath.named(words.get("datapath", Datapath.DEFAULT))
        return cls(**words)


def _card(words: str) -> dict[str, int]:
    """Settings as ``NAME=NUMBER,...``; which there are, the controller knows."""
    pairs = [word.partition("=") for word in words.split(",") if word]
    try:
        return {name: int(number) for name, _, number in pairs}
    except ValueError:
        raise BadOption(f"card {words!r}: it is NAME=NUMBER,...") from None


def _within(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise BadOption(f"{name} is {value:g}: it must be from {low:g} to {high:g}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a program the options of a run, each with its usual value."""
    _add_hypervisor(parser.add_argument)
    _add_network(parser.add_argument)
    _add_run(parser.add_argument)


def _add_hypervisor(add: Callable[..., object]) -> None:
    add(
        "--no-hw-offload",
        action="store_true",
        help="switch the hardware off (hw-tc-offload off)",
    )
    add(
        "--no-filters",
        action="store_true",
        help="load none of the topology's .tc files",
    )
    add(
        "--profile",
        choices=list(profiles.PROFILES),
        default=profiles.DEFAULT.name,
        help="which driver and kernel the hypervisors have (%(default)s)",
    )
    add(
        "--card",
        default="",
        metavar="NAME=NUMBER,...",
        help="what the emulated cards have, as devlink names it: ct_rules=64",
    )
    add(
        "--datapath",
        choices=[kind.value for kind in Datapath],
        default=Datapath.DEFAULT.value,
        help=f"Open vSwitch's datapath; default is what {DATAPATH_VARIABLE} says, else"
        " user; auto is kernel where this machine has it, else user",
    )


def _add_network(add: Callable[..., object]) -> None:
    add(
        "--bandwidth", type=float, metavar="MBPS", help="limit of each uplink, each way"
    )
    add(
        "--delay",
        type=float,
        metavar="MS",
        help="one-way delay between hypervisors (needs netem)",
    )
    for protocol in ("udp", "tcp"):
        add(
            f"--{protocol}-timeout",
            type=int,
            metavar="S",
            help=f"flow-table timeout of {protocol.upper()} (usually {FLOW_TABLE_TIMEOUT_S})",
        )


def _add_run(add: Callable[..., object]) -> None:
    add(
        "--exact-counters",
        action="store_true",
        help="credit packets before each connection goes to hardware, which then takes longer",
    )
    add(
        "--run-dir-root",
        type=Path,
        default=RUN_DIR_ROOT,
        metavar="DIR",
        help="%(default)s",
    )
    add(
        "--keep-logs",
        type=Path,
        metavar="DIR",
        help="copy the run's logs there at its end",
    )


def from_arguments(arguments: argparse.Namespace) -> Options:
    """Read back what ``add_arguments`` declared."""
    return Options(
        hw_tc_offload=not arguments.no_hw_offload,
        filters=not arguments.no_filters,
        profile=arguments.profile,
        card=_card(arguments.card),
        datapath=Datapath(arguments.datapath),
        bandwidth_mbps=arguments.bandwidth,
        delay_ms=arguments.delay,
        udp_timeout_s=arguments.udp_timeout,
        tcp_timeout_s=arguments.tcp_timeout,
        exact_counters=arguments.exact_counters,
        run_dir_root=arguments.run_dir_root,
        keep_logs=arguments.keep_logs,
    )
