"""``conntrack`` at a hypervisor."""

from __future__ import annotations

import pytest

from controller import commands
from controller.commands.answer import Answer
from controller.rules import Table, Track
from tests.unit.connections import TCP, UDP6, flow_tuple, tracked
from tests.unit.controller.bed import LETTER, Bed, of_connection
from tests.unit.controller.ovs_lines import (
    ICMP_LINE,
    NAT_LINE,
    TCP_LINE,
    TCP_TOLD_LINE,
    UDP6_LINE,
)

HEAD = "conntrack v1.4.7 (conntrack-tools): "
CLOSING = flow_tuple("10.0.0.1", "10.0.0.2", sport=45236, dport=5201)


def bed(*lines: str, offload: bool = True) -> Bed:
    made = Bed(offload)
    made.add(*LETTER)
    made.switch.dump = "\n".join(lines)
    return made


def test_list() -> None:
    answer = bed(TCP_LINE, UDP6_LINE, ICMP_LINE).run("conntrack -L")
    assert answer == Answer(
        0,
        "tcp      6 29 FIN_WAIT_2 src=10.0.0.1 dst=10.0.0.2 sport=45236 dport=5201"
        " src=10.0.0.2 dst=10.0.0.1 sport=5201 dport=45236 mark=0 zone=5 use=1\n"
        "udp      17 86400 src=fd00::1 dst=fd00::3 sport=40000 dport=53"
        " src=fd00::3 dst=fd00::1 sport=53 dport=40000 mark=7"
        " labels=0x00000000000000000000000000000102 use=1\n"
        "icmp     1 30 src=10.0.0.1 dst=10.0.0.3 type=8 code=0 id=77"
        " src=10.0.0.3 dst=10.0.0.1 type=0 code=0 id=77 mark=0 zone=5 use=1\n",
        HEAD + "3 flow entries have been shown.\n",
    )


@pytest.mark.parametrize(
    ("offload", "mark"), [(True, "[HW_OFFLOAD]"), (False, "[OFFLOAD]")]
)
def test_an_offloaded_one_shows_neither_state_nor_timeout(
    offload: bool, mark: str
) -> None:
    made = bed(NAT_LINE, offload=offload)
    translated = flow_tuple("7.7.7.7", "10.0.0.3", sport=61000, dport=80)
    made.hypervisor.packet(tracked(TCP, translated), 0.0)
    made.deliver()
    counted = " hw_packets=0 hw_bytes=0" if offload else ""
    assert made.run("conntrack -L conntrack").stdout == (
        f"tcp      6 src=10.0.0.1 dst=10.0.0.3 sport=40000 dport=80{counted}"
        f" src=10.0.0.3 dst=7.7.7.7 sport=80 dport=61000{counted}"
        f" {mark} mark=0 use=1\n"
    )


def test_what_hardware_counted_of_each_direction() -> None:
    made = bed(NAT_LINE)
    made.hypervisor.packet(tracked(TCP), 0.0)
    made.deliver()
    for _ in range(3):
        assert made.send(of_connection(TCP, size=200)).tables[-1] != Table.STACK
    [line] = made.run("conntrack -L").stdout.splitlines()
    assert line.count("hw_packets=3 hw_bytes=600") == 1
    assert line.count("hw_packets=0 hw_bytes=0") == 1


def test_an_aged_udp_connection_shows_how_long_act_ct_keeps_it() -> None:
    made = bed(UDP6_LINE)
    made.hypervisor.packet(tracked(UDP6), 0.0)
    made.deliver()
    [entry] = made.entries()
    made.age_out(entry)
    made.now_s += 10
    assert made.run("conntrack -L").stdout.startswith("udp      17 20 src=fd00::1")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("", 3),
        ("-p tcp", 1),
        ("--proto ICMP", 1),
        ("-w 5", 2),
        ("-w 0x0", 1),
        ("-s 10.0.0.1", 2),
        ("-d 10.0.0.3", 1),
        ("--src fd00:0::1 --dport 53", 1),
        ("--orig-port-src 45236", 1),
        ("-p udp -w 5", 0),
    ],
)
def test_only_those_asked_for(options: str, found: int) -> None:
    made = bed(TCP_LINE, UDP6_LINE, ICMP_LINE)
    assert made.run(f"conntrack -C {options}") == Answer(stdout=f"{found}\n")
    shown = made.run(f"conntrack --dump {options}")
    assert len(shown.stdout.splitlines()) == found


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--nonsense", "unknown argument `--nonsense'"),
        ("-w", "option `-w' requires an argument"),
        ("-w five", "Bad parameter: five"),
        ("-s 10.0.0.300", "Bad parameter: 10.0.0.300"),
    ],
)
def test_mistakes(options: str, said: str) -> None:
    answer = bed(TCP_LINE).run(f"conntrack -L {options}")
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr.startswith(HEAD + said + "\n")


def test_delete() -> None:
    made = bed(TCP_TOLD_LINE, UDP6_LINE)
    made.table.conntrack.track(of_connection(CLOSING), Track(5, commit=True))
    made.hypervisor.act_ct.get_table(5)
    made.hypervisor.packet(tracked(CLOSING, zone=5), 0.0)
    made.deliver()
    assert made.entries()
    settled = made.switch.settles
    answer = made.run("conntrack -D -p tcp")
    assert answer.code == 0 and answer.stderr.endswith(
        "1 flow entries have been deleted.\n"
    )
    assert answer.stdout.startswith("tcp      6 src=10.0.0.1 dst=10.0.0.2")
    assert "[OFFLOAD]" in answer.stdout
    assert not made.entries() and not made.table.conntrack.connections
    assert made.switch.settles > settled


def test_nothing_to_delete() -> None:
    answer = bed(TCP_LINE).run("conntrack -D -p udp")
    assert answer == Answer(1, "", HEAD + "0 flow entries have been deleted.\n")


def test_flush() -> None:
    made = bed(TCP_TOLD_LINE)
    made.table.conntrack.track(of_connection(CLOSING), Track(5, commit=True))
    made.hypervisor.act_ct.get_table(5)
    made.hypervisor.packet(tracked(CLOSING, zone=5), 0.0)
    made.deliver()
    settled = made.switch.settles
    answer = made.run("conntrack -F")
    assert not made.entries() and not made.table.conntrack.connections
    assert made.switch.settles > settled
    assert answer == Answer(
        0, "", HEAD + "connection tracking table has been emptied.\n"
    )


@pytest.mark.parametrize("option", ["-E", "--stats"])
def test_what_only_the_kernels_can(option: str) -> None:
    """The system's own would be asked about a conntrack that nothing here uses."""
    found = bed().run(f"conntrack {option}")
    text = f"{HEAD}{option}: Open vSwitch's own conntrack has -L, -D, -F and -C\n"
    assert found == Answer(1, "", text)


@pytest.mark.parametrize("argv", [["conntrack"], ["conntrack", "-V"], ["ls"], []])
def test_the_rest_is_the_systems(argv: list[str]) -> None:
    made = bed()
    found = commands.run(made.hypervisor, made.switch, argv, None, 0.0)
    assert found is None
