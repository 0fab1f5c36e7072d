"""The counters and times of an action, as ``tc -s`` prints them.

Source: iproute2 tc/tc_util.c:print_tcstats2_attr, print_tm
"""

from __future__ import annotations

from dataclasses import dataclass

from offload.tc.answer import Answer

_TICKS_PER_S = 100


@dataclass(frozen=True, slots=True)
class Counters:
    """Packets and their bytes."""

    packets: int = 0
    bytes: int = 0

    def __add__(self, other: Counters) -> Counters:
        return Counters(self.packets + other.packets, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class ActionState:
    """What an action has done, in each half of the pipeline."""

    index: int
    software: Counters = Counters()
    hardware: Counters = Counters()
    drops: int = 0
    overlimits: int = 0
    ref: int = 1
    bind: int = 1


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since; an action never used has no ``firstused_s``."""

    installed_s: float = 0
    used_s: float = 0
    firstused_s: float | None = None


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
