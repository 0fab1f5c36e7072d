"""The testbed in small: two ports, and filters that track what goes between them."""

from __future__ import annotations

from tests.kernel.cases.case import Case, Port, Step
from tests.kernel.frames import CLIENT_PORT, SERVER_PORT

PORTS = (Port(CLIENT_PORT), Port(SERVER_PORT))
OTHER = {CLIENT_PORT: SERVER_PORT, SERVER_PORT: CLIENT_PORT}


def add(port: str, chain: int, pref: int, match: str, *actions: str) -> str:
    """Return the command that adds an IPv4 flower filter; its last action ends the packet's way."""
    where = f"tc filter add dev {port} ingress prio {pref} chain {chain} proto ip"
    return (
        f"{where} flower {match} {' '.join(f'action {action}' for action in actions)}"
    )


def to(port: str) -> str:
    """Return the action that sends a packet out of a port."""
    return f"mirred egress redirect dev {port}"


def tracking(port: str, ct: str = "ct", commit: str = "ct commit") -> tuple[str, ...]:
    """Return the cover letter's filters at a port: ct, commit if new, forward if established."""
    out = to(OTHER[port])
    return (
        add(port, 0, 1, "ct_state -trk", f"{ct} pipe", "goto chain 2"),
        add(port, 2, 1, "ct_state +trk+new", f"{commit} pipe", out),
        add(port, 2, 2, "ct_state +trk+est", out),
    )


def both(ct: str = "ct", commit: str = "ct commit") -> tuple[str, ...]:
    """Return those filters at both ports."""
    return tracking(CLIENT_PORT, ct, commit) + tracking(SERVER_PORT, ct, commit)


def pair(name: str, commands: tuple[str, ...], *steps: Step) -> Case:
    """Return a case on the two ports."""
    return Case(name, PORTS, commands, steps)
