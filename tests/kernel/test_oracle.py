"""The oracle itself: what it is told, what it tells, and that it outlives a case."""

from __future__ import annotations

import pytest
from scapy.all import ARP, IP, UDP, VXLAN, Dot1Q, Ether

from tests.kernel.cases.case import Case, Command, Port, Send
from tests.kernel.frames import CLIENT_MAC, CLIENT_PORT, SERVER_MAC, SERVER_PORT, Talk
from tests.kernel.oracle.errors import CaseFailed, MachineDied
from tests.kernel.oracle.session import Oracle
from tests.kernel.pair import add, both, pair, to
from tests.kernel.reading import filters_at, went
from tests.kernel.underlay import REMOTE, TUNNEL, UPLINK

TALK = Talk()


def test_what_no_filter_takes_goes_to_the_stack(oracle: Oracle) -> None:
    """Of any ethertype. A VLAN tag is off by then: the kernel takes it off after tc's hook."""
    macs = Ether(src=CLIENT_MAC, dst=SERVER_MAC)
    untagged = macs / IP() / UDP()
    tagged = macs / Dot1Q(vlan=5) / IP() / UDP()
    odd = Ether(bytes(macs)[:12] + b"\x12\x34") / bytes(50)
    sent = [bytes(frame) for frame in (macs / ARP(hwsrc=CLIENT_MAC), odd, tagged)]
    case = pair("stack", (), *(Send(CLIENT_PORT, frame) for frame in sent))
    outcome = oracle.run(case)
    assert [[seen.frame for seen in step.stack] for step in outcome.steps] == [
        [sent[0]],
        [sent[1]],
        [bytes(untagged)],
    ]


def test_a_tag_leaves_with_its_frame(oracle: Oracle) -> None:
    """A VLAN tag is where the wire has it."""
    frame = bytes(Ether(dst=SERVER_MAC) / Dot1Q(vlan=5, prio=3) / IP() / UDP())
    command = (
        f"tc filter add dev {CLIENT_PORT} ingress matchall action {to(SERVER_PORT)}"
    )
    outcome = oracle.run(pair("tag", (command,), Send(CLIENT_PORT, frame)))
    assert [seen.frame for seen in outcome.steps[0].left] == [frame]


def test_a_command_that_fails_is_the_outcome(oracle: Oracle) -> None:
    """And those after it are carried out; so is what asks for no such port."""
    good = add(CLIENT_PORT, 0, 1, "", to(SERVER_PORT))
    bad = "tc filter add dev nowhere ingress flower"
    missing = Send("nowhere", bytes(60))
    case = pair("bad", (bad, good, "no-such-program"), missing, TALK.out("S"))
    outcome = oracle.run(case)
    assert [ran.code for ran in outcome.commands] == [1, 0, 127]
    assert 'Cannot find device "nowhere"' in outcome.commands[0].stderr
    assert outcome.steps[0].error
    assert went(outcome.steps[1]) == [SERVER_PORT]


def test_a_command_between_frames(oracle: Oracle) -> None:
    """What `conntrack -D` deletes is gone for the next frame."""
    delete = Command("conntrack -D -p tcp")
    outcome = oracle.run(pair("delete", both(), *TALK.handshake(), delete))
    assert [event.kind.value for event in outcome.steps[-1].events] == ["DESTROY"]
    assert outcome.connections == ()


def test_order_over_two_ports(oracle: Oracle) -> None:
    """Frames that one frame causes are in the order in which they left."""
    mirror = f"mirred egress mirror dev {CLIENT_PORT} pipe"
    commands = (add(CLIENT_PORT, 0, 1, "", mirror, mirror, to(SERVER_PORT)),)
    outcome = oracle.run(pair("order", commands, TALK.out("S")))
    assert went(outcome.steps[0]) == [CLIENT_PORT, CLIENT_PORT, SERVER_PORT]


def test_over_vxlan(oracle: Oracle) -> None:
    """Out: encapsulated, by the uplink. In: to the tunnel's filters, and the outer to the stack."""
    keyed = "enc_key_id 98 enc_src_ip 7.7.7.8"
    commands = (
        add(CLIENT_PORT, 0, 1, "", REMOTE.key, "mirred egress redirect dev vxlan0"),
        add("vxlan0", 0, 1, keyed, "tunnel_key unset pipe", to(CLIENT_PORT)),
    )
    there, inner = TALK.out("S"), TALK.back("SA", 0, 1).frame
    ports = (Port(CLIENT_PORT), UPLINK, TUNNEL)
    case = Case("vxlan", ports, commands, (there, REMOTE.sends(inner)))
    outcome = oracle.run(case)

    (sent,) = outcome.steps[0].left
    assert sent.port == "ens1f0"
    packet = Ether(sent.frame)
    assert bytes(packet[VXLAN].payload) == there.frame
    checksum = packet[UDP].chksum
    del packet[UDP].chksum
    assert Ether(bytes(packet))[UDP].chksum == checksum
    assert [(seen.port, seen.frame) for seen in outcome.steps[1].left] == [
        (CLIENT_PORT, inner)
    ]
    assert [seen.port for seen in outcome.steps[1].stack] == ["ens1f0"]


def test_a_panic_costs_its_case_alone(oracle: Oracle) -> None:
    """The console's end is in the error; the next case finds a new machine."""
    crash = Command("sh -c 'echo c > /proc/sysrq-trigger'")
    with pytest.raises(MachineDied, match="Kernel panic"):
        oracle.run(pair("panic", (), crash))
    assert went(oracle.run(pair("after", (), TALK.out("S"))).steps[0]) == ["stack"]


def test_a_hang_costs_its_case_alone(oracle: Oracle) -> None:
    """What takes too long is ended, and the machine goes on."""
    with pytest.raises(CaseFailed, match="longer than 2 s"):
        oracle.run(pair("hang", (), Command("sleep 50")), timeout_s=2)
    assert went(oracle.run(pair("after", (), TALK.out("S"))).steps[0]) == ["stack"]


def test_cases_do_not_meet(oracle: Oracle) -> None:
    """Each has namespaces of its own: no filter, no connection of the one before."""
    oracle.run(pair("one", both(), *TALK.handshake()))
    outcome = oracle.run(pair("two", ()))
    assert outcome.connections == ()
    assert filters_at(outcome, CLIENT_PORT) == []
