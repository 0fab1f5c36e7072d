"""Random filter sets that mostly make sense: each port tracks, commits and forwards.

A policy is the cover letter's, varied: zones, marks and labels, NAT at one port, mirrors, matches
on what the connection carries, things that happen before ct and after it. WILD is what else a
filter may ask and do; a new kind of key or action is a line there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from tests.kernel.underlay import TUNNEL, Remote

ETHERTYPES = {False: "ip", True: "ipv6"}
T = TypeVar("T")
Words = Callable[[Random], str]
# The testbed refuses it where no tunnel_key set comes before: nothing would be sent.
INTO_TUNNEL = f"dev {TUNNEL.name}"


@dataclass(frozen=True, slots=True)
class Nat:
    """What one port's commits translate: its clients' source, or their destination."""

    source: bool
    address: str
    port: int = 0  # 0: as it is

    @property
    def action(self) -> str:
        """In tc's words."""
        port = f" port {self.port}" if self.port else ""
        return f"nat {'src' if self.source else 'dst'} addr {self.address}{port}"


@dataclass(frozen=True, slots=True)
class Policy:
    """How the ports of a program are tied together."""

    first: str
    second: str
    third: str
    zone: int
    v6: bool
    nat: Nat | None
    remote: Remote | None = None  # at the other end of the port that is the tunnel

    def filters(self, random: Random) -> tuple[str, ...]:
        """Return the commands, port by port."""
        one = _Port(random, self, self.first, self.second, self.nat)
        other = _Port(random, self, self.second, self.first, None)
        return (*one.filters(), *other.filters())

    def leaving(self, random: Random) -> tuple[str, ...]:
        """Return commands for what leaves by the ports."""
        there = _Port(random, self, self.first, self.second, None, "egress")
        back = _Port(random, self, self.second, self.first, None, "egress")
        return (*there.leaving(), *back.leaving())


@dataclass(slots=True)
class _Port:
    random: Random
    policy: Policy
    port: str
    peer: str
    nat: Nat | None
    hook: str = "ingress"

    def filters(self) -> Iterator[str]:
        if self.chance(0.3):
            yield self.add(0, 1, self.wild_match(), *self.wild_actions())
        yield self.add(0, 2, "ct_state -trk", *self.before(), self.ct(), "goto chain 2")
        if self.chance(0.15):
            yield self.other_protocol()
        yield from self.tracked()

    def tracked(self) -> Iterator[str]:
        new = "ct_state +trk+new"
        yield self.add(2, 1, new, self.commit(), *self.middle(), *self.out())
        if self.chance(0.15):
            yield self.add(2, 2, self.narrow_established(), "goto chain 3")
            yield self.add(3, 1, self.wild_match(), *self.wild_actions())
            yield self.add(3, 2, "", *self.out())
        if self.chance(0.3):
            yield self.add(2, 3, "ct_state +trk+est+rpl", *self.out())
            yield self.add(2, 4, "ct_state +trk+est-rpl", *self.out())
        elif self.chance(0.2):
            mark = self.commit("mark 7") if self.chance(0.5) else self.commit()
            yield self.add(2, 3, "ct_state +trk+est", mark, *self.out())
        else:
            yield self.add(2, 3, "ct_state +trk+est", *self.middle(), *self.out())
        if self.chance(0.5):
            yield self.add(2, 5, "ct_state +trk+rel", *self.out())
        if self.chance(0.3):
            yield self.add(2, 6, "ct_state +trk+inv", *self.pick((DROP, self.out())))

    def add(self, chain: int, prio: int, match: str, *actions: str) -> str:
        """Return a command; an action that goes on is followed by the next."""
        protocol = ETHERTYPES[self.policy.v6]
        match = " ".join((match, *self.from_tunnel()))
        where = f"tc filter add dev {self.port} {self.hook} prio {prio} chain {chain}"
        does = " ".join(f"action {action}" for action in actions)
        return " ".join(f"{where} proto {protocol} flower {match} {does}".split())

    def leaving(self) -> Iterator[str]:
        """Whatever it be, and a zone of its own."""
        if self.chance(0.6):
            yield self.add(0, 1, self.wild_match(), *self.wild_actions(AT_EGRESS))
        if self.chance(0.5):
            yield self.add(0, 2, "ct_state -trk", "ct zone 9 pipe", "goto chain 2")
            yield self.add(2, 1, "ct_state +trk+new", "ct commit zone 9 pipe", "pass")
            yield self.add(2, 2, "ct_state +trk+est", *self.middle(), "pass")
        if self.chance(0.3):
            yield self.add(0, 3, self.wild_match(), *self.middle(), "pass")

    def other_protocol(self) -> str:
        where = f"tc filter add dev {self.port} ingress prio 9 chain 0"
        does = " ".join(f"action {action}" for action in self.towards(self.peer))
        return f"{where} proto arp flower {does}"

    def ct(self) -> str:
        words = ["ct", *self.zone(), *(["nat"] if self.policy.nat else [])]
        return " ".join((*words, "pipe"))

    def commit(self, extra: str = "") -> str:
        words = ["ct commit", *self.zone(), extra]
        if not extra and self.chance(0.3):
            words += [self.pick(("mark 5", "mark 0x70/0xf0", "mark 1/1"))]
        if self.chance(0.15):
            words += [
                self.pick(("label 01", "label ab000000/ff000000", "label 0102030405"))
            ]
        words += [self.nat.action] if self.nat else []
        return " ".join((*" ".join(words).split(), "pipe"))

    def zone(self) -> list[str]:
        return [f"zone {self.policy.zone}"] if self.policy.zone else []

    def out(self) -> tuple[str, ...]:
        """Leave by the peer's port, now and then with a copy to the third."""
        copy: tuple[str, ...] = ()
        if self.chance(0.1):
            copy = self.towards(self.policy.third, "mirror", " pipe")
        return (*copy, *self.towards(self.peer))

    def towards(
        self, port: str, verb: str = "redirect", then: str = ""
    ) -> tuple[str, ...]:
        """Send it out of a port, with a tunnel's key where that is one."""
        send = f"mirred egress {verb} dev {port}{then}"
        if self.policy.remote is None:
            return (send,)
        if port == TUNNEL.name:
            outer = self.pick(("", "", "", "", " nocsum", " ttl 9", " tos 0x10"))
            return (f"{self.policy.remote.key}{outer} pipe", send)
        unset = self.port == TUNNEL.name and self.chance(0.7)
        return ("tunnel_key unset pipe", send) if unset else (send,)

    def from_tunnel(self) -> tuple[str, ...]:
        """What a filter asks of the outer headers: often all of it, or one thing."""
        if self.policy.remote is None or self.port != TUNNEL.name:
            return ()
        keys = self.policy.remote.keys
        one = self.pick(keys)
        # The port alone: the testbed's tunnel has no other, so it does not see it go with unset.
        some = keys[-2:] if one == keys[-1] else (one,)
        return self.pick(((), (), keys, keys, some))

    def before(self) -> tuple[str, ...]:
        if self.port == TUNNEL.name and self.chance(0.1):
            return ("tunnel_key unset pipe", *self.some(BEFORE_CT))
        return self.some(BEFORE_CT)

    def middle(self) -> tuple[str, ...]:
        return self.some(AFTER_CT)

    def some(self, lines: Sequence[Sequence[str]]) -> tuple[str, ...]:
        words = [self.pick(line) for line in lines if self.chance(0.08)]
        return tuple(w.replace("HOP", HOP[self.policy.v6]) for w in words)

    def wild_match(self) -> str:
        layers = self.random.sample(WILD_KEYS, self.random.randint(1, 2))
        return " ".join(self.pick(layer)(self.random) for layer in layers)

    def wild_actions(
        self, among: Sequence[tuple[str, ...]] | None = None
    ) -> tuple[str, ...]:
        actions = tuple(
            action.replace("PEER", self.peer).replace("THIRD", self.policy.third)
            for action in self.pick(among or WILD_ACTIONS)
        )
        if self.policy.remote and any(INTO_TUNNEL in action for action in actions):
            return (f"{self.policy.remote.key} pipe", *actions)
        return actions

    def narrow_established(self) -> str:
        zone = f"ct_zone {self.policy.zone}"
        more = ("ct_mark 5", "ct_mark 0x70/0xf0", "ct_label 01", zone, "ct_mark 0")
        return f"ct_state +trk+est {self.pick(more)}"

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def pick(self, words: Sequence[T]) -> T:
        return self.random.choice(words)


DROP = ("drop",)
HOP = {
    False: "pedit ex munge ip ttl set 63 pipe action csum ip4h pipe",
    True: "pedit ex munge ip6 hoplimit set 63 pipe",
}
# One of each line, now and then. HOP is what the protocol has for it.
BEFORE_CT: tuple[tuple[str, ...], ...] = (("HOP",),)
AFTER_CT: tuple[tuple[str, ...], ...] = (
    ("ct clear pipe",),
    ("HOP", "pedit ex munge eth dst set 24:8a:07:a5:28:09 pipe", "vlan push id 5 pipe"),
)

# Of each layer at most one: two of a layer would contradict each other.
WILD_KEYS: tuple[tuple[Words, ...], ...] = (
    (
        lambda random: f"ip_proto {random.choice(('tcp', 'udp', 'icmp'))}",
        lambda random: f"ip_proto tcp dst_port {random.choice((80, 81, 1001))}",
        lambda random: f"ip_proto udp src_port {random.choice((80, 1000, 1001))}",
        lambda random: f"ip_proto tcp tcp_flags {random.choice(('0x2/0x2', '0x10/0x17'))}",
        lambda random: f"ip_proto tcp dst_port {random.choice(('80-81', '81-1000'))}",
        lambda random: f"ip_ttl {random.choice((64, 63, 1))}",
        lambda random: "ip_tos 0",
    ),
    (
        lambda random: f"dst_mac 24:8a:07:a5:28:0{random.randint(1, 3)}",
        lambda random: "src_mac 24:8a:07:a5:28:00/ff:ff:ff:ff:ff:00",
    ),
)
WILD_ACTIONS: tuple[tuple[str, ...], ...] = (
    ("drop",),
    ("pass",),
    ("mirred egress mirror dev THIRD",),
    ("mirred egress redirect dev PEER",),
    ("mirred egress mirror dev THIRD pipe", "mirred egress redirect dev PEER"),
    ("goto chain 5",),
    ("continue",),
    ("mirred egress mirror dev THIRD continue",),
    ("mirred ingress redirect dev PEER",),
    ("vlan push id 7 pipe", "mirred egress redirect dev PEER"),
    (
        "pedit ex munge eth src set 24:8a:07:a5:28:0a pipe",
        "mirred egress redirect dev PEER",
    ),
)
# Out of a device and into its peer's ingress may go round for ever in Linux (docs/conformance.md).
AT_EGRESS = tuple(
    actions
    for actions in WILD_ACTIONS
    if not any("mirred ingress" in action for action in actions)
)
