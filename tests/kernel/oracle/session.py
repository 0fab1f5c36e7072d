"""The oracle as tests use it: cases in, outcomes out, whatever becomes of the machine."""

from __future__ import annotations

import base64
import pickle
from types import TracebackType
from typing import Any

from tests.kernel.cases.case import Case, Wait
from tests.kernel.cases.codec import decode
from tests.kernel.cases.outcome import Outcome, Ran
from tests.kernel.oracle.build import Built, Say, build
from tests.kernel.oracle.errors import CaseFailed, MachineDied
from tests.kernel.oracle.machine import REAL_CLOCK, Clock, Machine

CASE_TIMEOUT_S = 60.0  # a case takes half a second, but not beside a whole test run
GRACE_S = 15.0


class Oracle:
    """The real kernel. A case that kills it or hangs costs that case: the next finds it anew.

    `Unavailable` on entering means that this machine cannot have one.
    """

    def __init__(self, clock: Clock = REAL_CLOCK, say: Say = lambda line: None) -> None:
        self._clock = clock
        self._say = say
        self._built: Built | None = None
        self._machine: Machine | None = None

    def __enter__(self) -> Oracle:
        self._running()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def run(self, case: Case, timeout_s: float = CASE_TIMEOUT_S) -> Outcome:
        """Carry the case out; its own waits are not part of the timeout.

        Raises CaseFailed, and MachineDied with the end of the guest's console.
        """
        waits = sum(step.seconds for step in case.steps if isinstance(step, Wait))
        deadline_s = timeout_s + waits
        request = {"op": "case", "place": _place(case), "case": _packed(case)}
        answer = self._ask({**request, "deadline_s": deadline_s}, deadline_s + GRACE_S)
        outcome: Outcome = pickle.loads(base64.b64decode(answer["outcome"]))
        return outcome

    def exec(self, command: str, timeout_s: float = CASE_TIMEOUT_S) -> Ran:
        """Run a command in the guest, outside of any case."""
        answer = self._ask({"op": "exec", "command": command}, timeout_s)
        return decode(Ran, answer["ran"])

    def _ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        try:
            answer = self._running().ask(request, timeout_s)
        except MachineDied:
            self._stop()
            raise
        if not answer["ok"]:
            raise CaseFailed(answer["error"])
        return answer

    def _running(self) -> Machine:
        if self._machine is None:
            self._built = self._built or build(self._say)
            self._machine = Machine.start(self._built, self._clock)
            how = "woken" if self._machine.restored else "booted"
            self._say(f"{self._built.kernel}: {how}")
        return self._machine

    def _stop(self) -> None:
        if self._machine is not None:
            self._machine.stop()
            self._machine = None


def _packed(case: Case) -> str:
    return base64.b64encode(pickle.dumps(case)).decode()


def _place(case: Case) -> str:
    """Name what a case's devices and settings are like: cases of one place may share them."""
    return repr((case.ports, case.sysctls))
