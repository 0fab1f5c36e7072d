"""``tc filter`` at a hypervisor, from the command line to the answer."""

from __future__ import annotations

import json

import pytest

from controller import commands
from controller.commands.answer import Answer
from controller.rules import Owner, Table
from tests.unit.connections import TCP, UDP
from tests.unit.controller.bed import LETTER, REP0, Bed, of_connection

ADD = "filter add dev ens1f0_0 ingress prio 1 proto ip flower "
REDIRECT = "action mirred egress redirect dev ens1f0_1"
SWITCH_REFUSED = "the switch refused a rule: error 2/5"


def kernel(words: str) -> Answer:
    """What tc prints of a kernel's refusal."""
    text = f"Error: {words}.\nWe have an error talking to the kernel\n"
    return Answer(2, stderr=text)


def is_the_systems(bed: Bed, line: str) -> bool:
    argv = line.split()
    return commands.run(bed.hypervisor, bed.switch, argv, None, 0.0) is None


def test_the_letters_commands_say_nothing() -> None:
    bed = Bed()
    for line in LETTER:
        assert bed.tc(line) == Answer()
    assert bed.switch.settles == 3, "each is in the switch when tc returns"


def test_show() -> None:
    bed = Bed()
    bed.add(*LETTER)
    text = bed.tc("filter show dev ens1f0_0 ingress").stdout
    assert text.count("flower chain") == 5
    assert text.count("  in_hw in_hw_count 1") == 2 and text.count("  not_in_hw") == 1


def test_counters_of_each_half_and_the_time_of_use() -> None:
    bed = Bed()
    bed.add(ADD + "skip_hw ip_proto tcp action drop")
    bed.add(ADD.replace("prio 1", "prio 2") + "skip_sw ip_proto udp action drop")
    bed.now_s = 1010.0
    bed.filters()
    bed.send(of_connection(TCP, size=114))
    bed.send(of_connection(UDP, size=114))
    software, hardware = bed.filters()
    for shown in (software, hardware):
        [action] = shown["options"]["actions"]
        assert action["installed"] == 10
    counted = software["options"]["actions"][0]["stats"]
    assert (counted["packets"], counted["bytes"]) == (1, 100), "no Ethernet header"
    assert "hw_packets" not in counted
    counted = hardware["options"]["actions"][0]["stats"]
    assert (counted["hw_packets"], counted["hw_bytes"]) == (1, 114)
    bed.now_s = 1025.0
    [used] = bed.filters()[0]["options"]["actions"]
    assert (used["last_used"], used["first_used"]) == (15, 15)


def test_a_use_that_this_look_saw_first_is_shown() -> None:
    bed = Bed()
    bed.add(ADD + "action drop")
    bed.send(of_connection(TCP))
    shown = bed.tc("-s filter show dev ens1f0_0 ingress").stdout
    assert " used 0 sec firstused 0 sec\n" in shown


def refusing(tables: tuple[Table, ...] = (Table.SW_CHAIN,)) -> Bed:
    """A bed whose switch refuses filters' rules in some tables."""
    bed = Bed()
    bed.table.legal = lambda rule: (
        rule.owner != Owner.FILTER or rule.table not in tables
    )
    return bed


@pytest.mark.parametrize("table", [Table.HW_CHAIN, Table.SW_CHAIN, Table.SW_POST_CT])
def test_a_filter_of_which_the_switch_refuses_a_rule(table: Table) -> None:
    """It is told, and nothing is left of the filter."""
    bed = refusing((table,))
    line = ADD + f"action ct pipe {REDIRECT}"
    assert bed.tc(line) == kernel(SWITCH_REFUSED)
    assert not bed.rules_of_filters() and not len(bed.hypervisor.filters)
    assert bed.tc("actions ls action ct").stdout == ""
    bed.table.legal = lambda rule: True
    bed.add(line)
    assert bed.rules_of_filters()


def test_a_refused_rule_of_a_batch() -> None:
    """The others stay."""
    bed = refusing()
    good = ADD.replace("prio", "chain 5 prio") + "skip_sw action drop"
    said = bed.tc("-batch -", f"{good}\n{ADD} action drop\n")
    assert (said.code, said.stderr) == (1, kernel(SWITCH_REFUSED).stderr)
    assert [each["chain"] for each in bed.filters()] == [5]


def test_a_refused_rule_of_a_block() -> None:
    """The filter goes from all of its devices."""
    bed = refusing()
    for device in ("ens1f0_0", "ens1f0_1"):
        bed.add(f"qdisc add dev {device} ingress_block 7 ingress")
    line = "filter add block 7 prio 1 proto ip flower action drop"
    assert bed.tc(line) == kernel(SWITCH_REFUSED)
    assert not bed.rules_of_filters() and not len(bed.hypervisor.filters)


def test_get() -> None:
    bed = Bed()
    bed.add(ADD + f"dst_ip 10.0.0.1 {REDIRECT}", ADD + f"dst_ip 10.0.0.2 {REDIRECT}")
    get = "-j filter get dev ens1f0_0 ingress prio 1 proto ip handle %s flower"
    [found] = [each for each in json.loads(bed.tc(get % 2).stdout) if "options" in each]
    assert found["options"]["keys"]["dst_ip"] == "10.0.0.2"
    assert bed.tc(get % 3) == kernel("Specified filter handle not found")


def test_get_of_handle_zero() -> None:
    bed = Bed()
    bed.add(ADD + f"dst_ip 10.0.0.1 {REDIRECT}", ADD + f"dst_ip 10.0.0.2 {REDIRECT}")
    get = "filter get dev ens1f0_0 ingress prio 1 proto ip handle 0 flower"
    assert bed.tc(get).code in (1, 2)


def test_delete() -> None:
    bed = Bed()
    bed.add(*LETTER, "filter del dev ens1f0_0 ingress prio 1 chain 2 proto ip")
    assert len(bed.hypervisor.filters) == 1
    bed.add("filter del dev ens1f0_0 ingress")
    assert not len(bed.hypervisor.filters)
    assert bed.tc("filter del dev ens1f0_0 ingress prio 1") == kernel(
        "Cannot find specified filter chain"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (ADD + f"ct_state +est {REDIRECT}", "no trk, so no other flag can be set"),
        (ADD + "skip_sw action pass", "The offload action is not supported"),
        (
            ADD.replace("ingress", "egress") + f"skip_sw {REDIRECT}",
            "RTNETLINK answers: Operation not supported",
        ),
        (
            ADD.replace("add", "change") + f"dst_ip 1.1.1.1 {REDIRECT}",
            "Need both RTM_NEWTFILTER and NLM_F_CREATE to create a new filter",
        ),
        (
            "filter del dev ens1f0_0 egress prio 1",
            "Cannot find specified filter chain",
        ),
    ],
)
def test_refused_by_the_kernel(line: str, said: str) -> None:
    bed = Bed()
    answer = bed.tc(line)
    assert answer.code == 2 and said in answer.stderr
    assert not len(bed.hypervisor.filters)


def test_refused_by_tc_itself() -> None:
    answer = Bed().tc(ADD + "action ct clear commit")
    assert answer.code == 1
    assert answer.stderr.startswith("ct: clear can only be used alone\n")


def test_why_not_in_hardware_is_asked_with_verbose() -> None:
    bed = Bed()
    line = ADD + f"verbose %s ct_state +trk+new {REDIRECT}"
    assert bed.tc(line % "") == Answer(
        stderr="Warning: mlx5_core: matching on ct_state +new isn't supported.\n"
    )
    assert bed.tc(line.replace("prio 1", "prio 2") % "skip_hw") == Answer()


def test_what_is_not_ours_is_the_systems() -> None:
    bed = Bed()
    assert is_the_systems(bed, "tc qdisc show dev eth9")
    assert is_the_systems(bed, "tc filter show dev eth9 ingress")


def test_a_batch_goes_on_to_its_first_mistake() -> None:
    bed = Bed()
    lines = [ADD + f"dst_ip 10.0.0.1 {REDIRECT}", "filter add nonsense", LETTER[0]]
    text = "# a comment\n" + "\n".join(line.replace("\n", " ") for line in lines)
    answer = bed.tc("-batch rules.tc", text)
    assert answer.code == 1
    assert "Command failed rules.tc:3\n" in answer.stderr
    assert len(bed.hypervisor.filters) == 1
    forced = bed.tc("-force -batch -", text.replace("10.0.0.1", "10.0.0.2"))
    assert forced.code == 1
    assert len(bed.hypervisor.filters) == 3
    assert bed.switch.settles == 2, "once a batch"


def test_what_a_batch_cannot_hold() -> None:
    bed = Bed()
    answer = bed.tc("-batch -", "class show\n")
    assert answer.code == 1
    assert answer.stderr.startswith("tc class show: not the testbed's")
    assert bed.tc("-batch -", None) == Answer()


def test_batch_and_show_together() -> None:
    bed = Bed()
    line = ADD + f"dst_ip 10.0.0.1 {REDIRECT}"
    answer = bed.tc("-batch -", f"{line}\nfilter show dev {REP0} ingress\n")
    assert answer.code == 0 and "dst_ip 10.0.0.1" in answer.stdout


def test_another_devices_chains_are_the_systems() -> None:
    assert is_the_systems(Bed(), "tc chain show dev eth9 ingress")
