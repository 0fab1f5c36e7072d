"""Every control verb, on packets: where they come out, and after how many rounds."""

from __future__ import annotations

import pytest

from tests.e2e.one_by_one import SENDER, OneByOne, udp
from tests.e2e.state import filters

IP = "prio 1 proto ip flower"
TO_VM1 = "action mirred egress redirect dev ens1f0_0"
TO_VM2 = "action mirred egress redirect dev ens1f0_1"
MIRROR_TO_VM2 = "action mirred egress mirror dev ens1f0_1"


def chain(number: int, rest: str, prio: int = 1) -> str:
    return f"ens1f0_0 prio {prio} chain {number} proto ip flower {rest}"


@pytest.mark.parametrize(
    ("actions", "places"),
    [
        ("action pass", ["stack"]),
        ("action drop", []),
        ("action ok", ["stack"]),
        ("action shot", []),
        ("action pipe", ["stack"]),
        ("action trap", []),
        (f"{MIRROR_TO_VM2} pass", ["vm2", "stack"]),
        (f"{MIRROR_TO_VM2} drop {TO_VM2}", ["vm2"]),
        (f"{MIRROR_TO_VM2} trap", ["vm2"]),
        (f"{MIRROR_TO_VM2} pipe", ["vm2", "stack"]),
        (f"action pass {TO_VM2}", ["stack"]),
        ("action continue", ["vm1"]),
        (f"{MIRROR_TO_VM2} continue", ["vm1", "vm2"]),
        ("action ct continue", ["vm1"]),
        ("action ct pass", ["stack"]),
        ("action ct drop", []),
        ("action ct clear continue", ["vm1"]),
        (f"action jump 2 action drop {TO_VM2}", ["vm2"]),
        (f"{MIRROR_TO_VM2} jump 1 action drop", ["vm2"]),
        (f"{MIRROR_TO_VM2} jump 3 action drop", ["vm2", "stack"]),
    ],
)
def test_what_follows_an_action(hv1: OneByOne, actions: str, places: list[str]) -> None:
    """``continue`` finds the next prio, which sends the packet back to vm1."""
    hv1.add(
        chain(0, f"dst_ip 10.0.0.2 {actions}"),
        chain(0, "action mirred egress redirect dev ens1f0_0", prio=2),
    )
    assert hv1.through(udp()).places == places


TUNNEL = "tunnel_key set src_ip 7.7.7.7 dst_ip 7.7.7.8 id 98 dst_port 4789"
MUNGE = "pedit ex munge eth dst set 02:00:00:00:00:01"


@pytest.mark.parametrize(
    "actions",
    [
        "gact",
        "ct",
        "ct commit zone 3",
        "ct clear",
        TUNNEL,
        "tunnel_key unset",
        MUNGE,
        f"{MUNGE} pipe action csum ip4h",
        "vlan push id 5",
        "vlan modify id 5",
        "vlan pop",
        "mirred egress mirror dev ens1f0_1",
    ],
)
def test_every_verb_of_every_action(hv1: OneByOne, actions: str) -> None:
    """Each filter has another verb, and behind it a redirect to vm2 that only pipe reaches.

    What continues or is classified again as another protocol goes back to vm1; a packet
    that goes in circles is dropped.
    """
    jump = f"jump {actions.count(' action ') + 2} action drop"
    again = "vm1" if "push" in actions else ""
    came_out = {
        "pass": "stack",
        "ok": "stack",
        "drop": "",
        "shot": "",
        "trap": "",
        "pipe": "vm2",
        "continue": "vm1",
        "goto chain 5": "stack",
        "reclassify": again,
        jump: "vm2",
    }
    also = {"vm2"} if "mirror" in actions else set()
    for port, verb in enumerate(came_out):
        key = f"ip_proto udp dst_port {port + 1}"
        hv1.add(chain(0, f"{key} action {actions} {verb} {TO_VM2}"))
    hv1.add(f"ens1f0_0 prio 2 proto all flower src_mac {SENDER} {TO_VM1}")
    hv1.add("ens1f0_0 chain 5 prio 1 proto all flower action pass")
    for port, (verb, place) in enumerate(came_out.items()):
        out = hv1.through(udp(dport=port + 1))
        assert set(out.places) == also | {place} - {""}, verb


def test_continue_goes_on_behind_its_prio_past_what_does_not_match(
    hv1: OneByOne,
) -> None:
    """Prios added in any order; of one that continues nothing else is asked."""
    hv1.add(
        chain(0, "action drop", prio=7),
        chain(0, "ip_proto udp action continue", prio=3),
        chain(0, "action drop", prio=3),
        chain(0, "ip_proto tcp action drop", prio=4),
        chain(0, "src_ip 10.0.0.1 action continue", prio=5),
        chain(0, TO_VM2, prio=6),
    )
    assert hv1.through(udp()).places == ["vm2"]
    used = {
        (each.prio, each.handle): each.count.all
        for each in filters(hv1.hypervisor, "ens1f0_0")
        if each.count.all and each.prio < 100
    }
    assert used == {(3, 1): 1, (5, 1): 1, (6, 1): 1}
    hv1.hypervisor.must(*"tc filter del dev ens1f0_0 ingress prio 5".split())
    hv1.hypervisor.must(*"tc filter del dev ens1f0_0 ingress prio 3".split())
    assert hv1.through(udp()).places == ["vm2"], "whole again"


def test_reclassify_starts_again_with_the_packet_as_it_is_now(hv1: OneByOne) -> None:
    """The second time it is tracked, so another filter takes it."""
    hv1.add(
        chain(0, "ct_state -trk action ct goto chain 5"),
        chain(0, f"ct_state +trk {TO_VM2}"),
        chain(5, "action reclassify"),
    )
    assert hv1.through(udp()).places == ["vm2"]


@pytest.mark.parametrize("verb", ["goto chain 0", "reclassify"])
def test_who_goes_round_in_circles_is_dropped(hv1: OneByOne, verb: str) -> None:
    """Linux 5.7 goes round four times: the filter has seen it five times then."""
    hv1.add(chain(0, f"{MIRROR_TO_VM2} {verb}"))
    out = hv1.through(udp())
    assert out.places == ["vm2"] and len(out.vm2) == 5


def test_as_many_gotos_as_linux_follows(hv1: OneByOne) -> None:
    """The fourth reaches its chain, a fifth does not."""
    hv1.add(*(chain(at, f"action goto chain {at + 1}") for at in range(4)))
    hv1.add(chain(4, TO_VM2))
    assert hv1.through(udp()).places == ["vm2"]
    hv1.hypervisor.must(*"tc filter del dev ens1f0_0 ingress chain 4".split())
    hv1.add(chain(4, "action goto chain 5"), chain(5, TO_VM2))
    assert hv1.through(udp()).places == []


def test_a_chain_that_is_not_there_passes_to_the_stack(hv1: OneByOne) -> None:
    """As one without a filter that matches does."""
    hv1.add(chain(0, "action goto chain 268435455"))
    assert hv1.through(udp()).places == ["stack"]
    hv1.add(chain(268435455, "src_ip 9.9.9.9 action drop"))
    assert hv1.through(udp()).places == ["stack"]


def test_32_actions(hv1: OneByOne) -> None:
    """All of them are done; one more is refused."""
    hv1.add(chain(0, f"{MIRROR_TO_VM2} pipe " * 31 + "action drop"))
    assert len(hv1.through(udp()).vm2) == 31
    device, rest = chain(0, "action pipe " * 32 + "action drop").split(maxsplit=1)
    said = hv1.hypervisor.cmd(f"tc filter add dev {device} ingress {rest}")
    assert "Error: Only support up to 32 actions per filter." in said
