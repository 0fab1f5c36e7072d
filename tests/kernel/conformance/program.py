"""Random programs: a seed makes a case, always the same one."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.kernel.cases.case import Case, Port, Send
from tests.kernel.conformance.policy import Nat, Policy
from tests.kernel.conformance.traffic import SCRIPTS, Conversation, End

ENDS = tuple(
    End(f"ens1f0_{number}", f"24:8a:07:a5:28:0{number + 1}", f"10.0.0.{number + 1}", v6)
    for number, v6 in enumerate(("fd00::1", "fd00::2", "fd00::3"))
)
PORTS = tuple(Port(end.port) for end in ENDS)
SHARED = {False: "192.0.2.1", True: "2001:db8::1"}  # what NAT hides an end behind
CONVERSATIONS = 4


def program(seed: int) -> Case:
    """Return the program of that number."""
    random = Random(seed)
    first, second, third = random.sample(ENDS, 3)
    v6 = random.random() < 0.2
    nat = _nat(random, second, v6)
    zone = random.choice((0, 0, 7, 65535))
    policy = Policy(first.port, second.port, third.port, zone, v6, nat)
    commands = policy.filters(random)
    talks = [
        list(_talk(random, number, first, second, policy))
        for number in range(random.randint(1, CONVERSATIONS))
    ]
    return Case(f"program {seed}", PORTS, commands, tuple(_interleaved(random, talks)))


def _nat(random: Random, server: End, v6: bool) -> Nat | None:
    if random.random() < 0.65:
        return None
    if random.random() < 0.6:
        return Nat(source=True, address=SHARED[v6])
    return Nat(source=False, address=server.ip6 if v6 else server.ip)


def _talk(
    random: Random, number: int, first: End, second: End, policy: Policy
) -> Iterator[Send]:
    scripts, shares = zip(*SCRIPTS)
    (script,) = random.choices(scripts, shares)
    talk = Conversation(
        client=first,
        server=second,
        sport=1000 + number,
        dport=random.choice((80, 81)),
        v6=policy.v6 if random.random() < 0.95 else not policy.v6,
    )
    if policy.nat and talk.v6 == policy.v6:
        _translate(talk, policy.nat)
    yield from script(random, talk)


def _translate(talk: Conversation, nat: Nat) -> None:
    """Let the ends know each other by the addresses that NAT gives them."""
    if nat.source:
        talk.seen = nat.address
    else:
        talk.there = SHARED[talk.v6]


def _interleaved(random: Random, talks: list[list[Send]]) -> Iterator[Send]:
    """One frame after the other, each conversation's in order."""
    waiting = [talk for talk in talks if talk]
    while waiting:
        talk = random.choice(waiting)
        yield talk.pop(0)
        waiting = [talk for talk in waiting if talk]
