"""What can go wrong while a network is built, run or taken down."""

from __future__ import annotations

from collections.abc import Sequence


class TopologyError(Exception):
    """The root of everything ``topologies`` raises; ``str()`` is for the user."""


class BadOption(TopologyError):
    """An option with a value that makes no network."""


class Missing(TopologyError):
    """A right, a program or a kernel feature that this machine does not have."""


class NotReady(TopologyError):
    """Something did not come up, or did not go away, by its deadline."""


class ControlFailed(TopologyError):
    """The controller did not answer, or answered no."""


class CommandFailed(TopologyError):
    """A command of ours failed; carries what it was and what it said."""

    def __init__(
        self, argv: Sequence[str], code: int, stderr: str, where: str = ""
    ) -> None:
        said = stderr.strip() or "(it said nothing)"
        command = " ".join([f"{where}:", *argv] if where else argv)
        super().__init__(f"{command}: exit code {code}: {said}")
        self.argv = tuple(argv)
        self.code = code
        self.stderr = stderr
