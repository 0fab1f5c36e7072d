"""What an action is beside its value: number, counters, times, labels.

Source: iproute2 tc/m_action.c:tc_print_one_action, print_hw_stats,
tc/tc_util.c:print_tcstats2_attr, print_tm
"""

from __future__ import annotations

from dataclasses import dataclass

from offload.act_api import ANY_STATS, Counters, HwStats
from offload.tc.answer import Answer

_TICKS_PER_S = 100


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since; an action never used has no ``firstused_s``."""

    installed_s: float = 0
    used_s: float = 0
    firstused_s: float | None = None


@dataclass(frozen=True, slots=True)
class ActionState:
    """What an action has done, in each half of the pipeline, and who holds it."""

    index: int
    software: Counters = Counters()
    hardware: Counters = Counters()
    drops: int = 0
    overlimits: int = 0
    ref: int = 1
    bind: int = 1
    times: Times = Times()
    cookie: bytes = b""
    hw_stats: HwStats = ANY_STATS
    no_percpu: bool = False
    skip_sw: bool = False
    skip_hw: bool = False
    used_hw_stats: bool = False


def show_index(
    answer: Answer,
    before: str,
    state: ActionState,
    statistics: bool,
    ends_line: bool = True,
) -> None:
    """The line with an action's number; how it begins and ends differs by kind."""
    answer.put("index", state.index, f"{before}index {state.index}")
    answer.put("ref", state.ref, f" ref {state.ref}")
    answer.put("bind", state.bind, f" bind {state.bind}")
    if statistics:
        show_times(answer, state.times)
    if ends_line:
        answer.newline()


def show_labels(answer: Answer, state: ActionState, standalone: bool) -> None:
    """What is behind an action's counters; a filter's says nothing of hardware."""
    if state.cookie:
        show_cookie(answer, state)
    _show_flags(answer, state, standalone)
    if state.hw_stats != ANY_STATS:
        _show_hw_stats(answer, "hw_stats", state.hw_stats)
    if state.used_hw_stats:  # mlx5 counts with a delay
        _show_hw_stats(answer, "used_hw_stats", HwStats.DELAYED)


def show_cookie(answer: Answer, state: ActionState) -> None:
    """The cookie, on a line of its own."""
    answer.put("cookie", state.cookie.hex(), f"\tcookie {state.cookie.hex()}")
    answer.newline()


def _show_flags(answer: Answer, state: ActionState, standalone: bool) -> None:
    flags = {
        "no_percpu": state.no_percpu,
        "skip_hw": standalone and state.skip_hw,
        "skip_sw": standalone and state.skip_sw,
        "not_in_hw": standalone and not state.skip_hw,
    }
    for flag, is_set in flags.items():
        if is_set:
            answer.put(flag, True, f"\t{flag}")
    if any(flags.values()):
        answer.newline()


def _show_hw_stats(answer: Answer, key: str, stats: HwStats) -> None:
    answer.say(f"\t{key}")
    with answer.array(key):
        for each in stats or ("disabled",):
            name = each if isinstance(each, str) else str(each.name).lower()
            answer.put(None, name, f" {name}")
    answer.newline()


def show_times(answer: Answer, times: Times) -> None:
    """Each time, unless the kernel counts less than a tick."""
    _show_time(answer, "installed", "installed", times.installed_s)
    _show_time(answer, "last_used", "used", times.used_s)
    _show_time(answer, "first_used", "firstused", times.firstused_s or 0)


def _show_time(answer: Answer, key: str, name: str, seconds: float) -> None:
    if int(seconds * _TICKS_PER_S):
        answer.put(key, int(seconds), f" {name} {int(seconds)} sec")


def show_stats(answer: Answer, state: ActionState) -> None:
    """Both halves together, then each if hardware had any."""
    answer.say("\tAction statistics:")
    answer.newline()
    with answer.object("stats"):
        total = state.software + state.hardware
        answer.say("\t")
        _show_counters(answer, "", "Sent", total)
        answer.put("drops", state.drops, f" (dropped {state.drops}")
        answer.put("overlimits", state.overlimits, f", overlimits {state.overlimits}")
        answer.put("requeues", 0, " requeues 0) ")
        if state.hardware != Counters():
            _show_half(answer, "sw_", "Sent software", state.software)
            _show_half(answer, "hw_", "Sent hardware", state.hardware)
        answer.newline()
        answer.put("backlog", 0, "\tbacklog 0b")
        answer.put("qlen", 0, " 0p")
        answer.say(" requeues 0")
    answer.newline()


def _show_half(answer: Answer, key: str, name: str, counters: Counters) -> None:
    answer.newline()
    answer.say("\t")
    _show_counters(answer, key, name, counters)


def _show_counters(answer: Answer, key: str, name: str, counters: Counters) -> None:
    answer.put(f"{key}bytes", counters.bytes, f"{name} {counters.bytes} bytes")
    answer.put(f"{key}packets", counters.packets, f" {counters.packets} pkt")
