"""The testbed as tests use it: cases in, an outcome of each mode out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType

import topologies
from tests.kernel.cases.case import Case
from tests.kernel.cases.outcome import Outcome
from tests.kernel.testbed.network import Mode, ThreeNics
from tests.kernel.testbed.nic import Nic

ALL_MODES = tuple(Mode)
PROFILE = "mlx5-6.1"  # the generation of the oracle's kernel


class Testbed:
    """Three hypervisors that carry a case out side by side."""

    __test__ = False

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._nics: dict[Mode, Nic] = {}

    def __enter__(self) -> Testbed:
        with ExitStack() as stack:
            net = stack.enter_context(
                topologies.running(
                    ThreeNics(), filters=False, profile=PROFILE, exact_counters=True
                )
            )
            for mode in Mode:
                self._nics[mode] = Nic(net, mode)
                stack.callback(self._nics[mode].close)
            self._threads = stack.enter_context(ThreadPoolExecutor(len(Mode)))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def run(self, case: Case, modes: Sequence[Mode] = ALL_MODES) -> dict[Mode, Outcome]:
        """Carry the case out in each mode; raises NotPossible."""
        outcomes = self._threads.map(lambda mode: self._nics[mode].run(case), modes)
        return dict(zip(modes, outcomes))
