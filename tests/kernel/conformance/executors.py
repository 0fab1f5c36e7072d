"""Both executors of a case, at the same time; what the kernel said once is kept.

.cache/oracle/KEY/outcomes/HASH   the outcome of that case on that kernel

A case's outcome does not change as long as the guest is the same, and it is the slower half.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import TracebackType

from tests.kernel.cases.case import Case
from tests.kernel.cases.codec import encode
from tests.kernel.cases.outcome import Outcome
from tests.kernel.conformance.verdict import Verdict, judge
from tests.kernel.oracle.build import Say, build
from tests.kernel.oracle.session import Oracle
from tests.kernel.testbed.session import Testbed

AHEAD = 8  # how many cases the kernel may be ahead of the testbed


class Executors:
    """The real kernel and the testbed."""

    def __init__(self, oracle: Oracle, testbed: Testbed, kept: Path | None) -> None:
        self._oracle = oracle
        self._testbed = testbed
        self._kept = kept
        self._thread = ThreadPoolExecutor(1)

    def verdict(self, case: Case) -> Verdict:
        """Carry a case out on both and compare."""
        (verdict,) = self.verdicts([case])
        return verdict

    def verdicts(self, cases: Iterable[Case]) -> Iterator[Verdict]:
        """Do so with many: the kernel goes ahead. Raises what the executors raise."""
        rest = iter(cases)
        waiting = [self._ask(case) for case in islice(rest, AHEAD)]
        while waiting:
            case, kernel = waiting.pop(0)
            waiting.extend(self._ask(each) for each in islice(rest, 1))
            testbed = self._testbed.run(case)
            yield judge(case, kernel.result(), testbed)

    def kernel(self, case: Case) -> Outcome:
        """Return what the kernel does, or did when it was last asked."""
        if self._kept is None:
            return self._oracle.run(case)
        text = json.dumps(encode(case), sort_keys=True)
        file = self._kept / hashlib.sha256(text.encode()).hexdigest()[:32]
        if file.exists():
            outcome: Outcome = pickle.loads(file.read_bytes())
            return outcome
        outcome = self._oracle.run(case)
        partial = file.with_suffix(".part")
        partial.write_bytes(pickle.dumps(outcome))
        partial.rename(file)
        return outcome

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _ask(self, case: Case) -> tuple[Case, Future[Outcome]]:
        return case, self._thread.submit(self.kernel, case)


class Running:
    """Start both executors, and end them: a context manager of Executors."""

    def __init__(self, say: Say = lambda line: None, keep: bool = True) -> None:
        self._say = say
        self._keep = keep
        self._stack = ExitStack()

    def __enter__(self) -> Executors:
        with ExitStack() as stack:
            kept = build(self._say).folder / "outcomes" if self._keep else None
            if kept is not None:
                kept.mkdir(exist_ok=True)
            oracle = stack.enter_context(Oracle(say=self._say))
            testbed = stack.enter_context(Testbed())
            executors = Executors(oracle, testbed, kept)
            stack.callback(executors.close)
            self._stack = stack.pop_all()
        return executors

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
