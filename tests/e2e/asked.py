"""Commands at a hypervisor, put to its controller the way its tc and conntrack do.

A process takes five times as long as the answer, and a test gives dozens: what is not about
the commands themselves asks here.
"""

from __future__ import annotations

from typing import Any

from topologies import control
from topologies.errors import CommandFailed
from topologies.waiting import PATIENCE

_TIMEOUT_S = 30.0 * PATIENCE


def asked(hypervisor: Any, *argv: str) -> str:
    """What a command prints; raises CommandFailed as ``hypervisor.must`` does."""
    request = {"op": "exec", "hypervisor": hypervisor.name, "argv": argv, "stdin": None}
    answer = control.ask(hypervisor.run.control_socket, request, _TIMEOUT_S)
    if answer["code"]:
        raise CommandFailed(argv, answer["code"], answer["stderr"], hypervisor.name)
    printed: str = answer["stdout"]
    return printed
