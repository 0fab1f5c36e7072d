"""chain, actions and qdisc: the values their command lines become, and their answers."""

from __future__ import annotations

import pytest

from offload.act_api import Request
from offload.actions import DROP, Ct, Gact
from offload.errors import KernelError, Unsupported
from offload.tc import (
    Actions,
    ActionsAdd,
    ActionsNamed,
    ActionsOfKind,
    ActionState,
    ChainEdit,
    ChainShow,
    Command,
    Foreign,
    Hook,
    Options,
    QdiscEdit,
    QdiscShow,
    ShownQdisc,
    answer_actions,
    answer_chains,
    answer_qdiscs,
    parse,
)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("chain add dev d ingress chain 3", ChainEdit("d", False, chain=3)),
        ("chain add dev d ingress", ChainEdit("d", False)),
        ("chain del dev d ingress prio 3", ChainEdit("d", True)),
        ("chain add block 7 chain 3", ChainEdit("", False, chain=3, block=7)),
        ("chain add dev d egress", ChainEdit("d", False, Hook.EGRESS)),
        ("chain show dev d ingress", ChainShow("d")),
        ("chain lst block 7", ChainShow("", block=7)),
        ("chain get dev d ingress chain 3", ChainShow("d", chain=3, get=True)),
        ("chain add dev other chain 3", Foreign("chain", "other")),
        ("chain show dev other help", Foreign("chain", "other")),
        ("chain show", Foreign("chain")),
        ("qdisc", QdiscShow("")),
        ("qdisc show", QdiscShow("")),
        ("qdisc ls dev d ingress", QdiscShow("d")),
        ("qdisc show dev d root", Foreign("qdisc", "d")),
        ("qdisc show help", Foreign("qdisc")),
        ("qdisc show dev other", Foreign("qdisc", "other")),
        ("qdisc add dev d clsact", QdiscEdit("d", "add", "clsact")),
        ("qdisc rep dev d handle ffff: ingress", QdiscEdit("d", "replace", "ingress")),
        (
            "qdisc add dev d ingress_block 7 ingress",
            QdiscEdit("d", "add", "ingress", 7),
        ),
        ("qdisc del dev d parent ffff:fff1", QdiscEdit("d", "delete", "")),
        ("qdisc add dev d root tbf rate 1mbit", Foreign("qdisc", "d")),
        ("qdisc add dev d handle 1: root htb", Foreign("qdisc", "d")),
        ("qdisc del dev d root", Foreign("qdisc", "d")),
        ("qdisc add dev", Foreign("qdisc")),
        ("qdisc help", Foreign("qdisc")),
        ("qdisc add clsact", Foreign("qdisc")),
    ],
)
def test_chains_and_qdiscs(line: str, command: Command) -> None:
    assert parse(line.split(), lambda device: device == "d") == command


def steps(line: str) -> tuple[object, ...]:
    command = parse(line.split())
    assert isinstance(command, Actions)
    return command.steps


def test_actions_commands() -> None:
    ct = (Request(Ct()),)
    assert steps("actions") == ()
    assert steps("actions add action ct") == (ActionsAdd(ct),)
    assert steps("action add ct") == (ActionsAdd(ct),)
    both = (Request(Ct()), Request(Gact(DROP), 3))
    assert steps("actions rep action ct action drop index 3") == (
        ActionsAdd(both, True),
    )
    assert steps("actions change action ct") == (ActionsAdd(ct, True),)
    assert steps("actions del action ct index 3 action foo index 4") == (
        ActionsNamed((("ct", 3), ("gact", 4)), True, "action"),
    )
    assert steps("-s actions get ct index 3") == (
        ActionsNamed((("ct", 3),), False, "ct", Options(statistics=True)),
    )
    assert steps("actions ls action ct") == (ActionsOfKind("ct", False),)
    assert steps("actions show action ct since 5 foo") == (
        ActionsOfKind("ct", False, 5),
    )
    assert steps("actions flush action foo") == (ActionsOfKind("foo", True),)
    assert steps("actions del") == ()
    assert steps("actions add action ct add action ct") == (
        ActionsAdd(ct),
        ActionsAdd(ct),
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("chain add dev d ingress flower", "chain template: not supported"),
        (
            "qdisc add dev d egress_block 7 clsact",
            "egress_block: the testbed shares blocks of ingress",
        ),
        ("actions del action police index 3", "action police: not supported"),
        ("actions ls action police", "action police: not supported"),
    ],
)
def test_what_is_refused_with_one_line(line: str, said: str) -> None:
    with pytest.raises(Unsupported) as refusal:
        parse(line.split())
    assert str(refusal.value).startswith(said)


@pytest.mark.parametrize(
    ("line", "extack"),
    [
        ("chain add dev d ingress u32 foo", "TC classifier not found"),
        ("chain add dev d ingress nosuch", "TC classifier not found"),
        ("filter add dev d ingress flower action vlan index 0", ""),
        ("filter add dev d ingress flower action skbedit index 0", ""),
        (
            "filter add dev d ingress flower action pedit index 0",
            "act_pedit: Pedit requires keys to be passed",
        ),
    ],
)
def test_what_the_kernel_would_refuse(line: str, extack: str) -> None:
    with pytest.raises(KernelError) as refusal:
        parse(line.split())
    assert refusal.value.extack == extack


def test_a_vlan_id_beyond_the_last() -> None:
    with pytest.raises(KernelError, match="^Numerical result out of range$"):
        parse("filter add dev d ingress flower action vlan push id 4095".split())


def test_an_action_alone_brings_its_error_along() -> None:
    """tc leaves with another code then, and may have done something before."""
    (step,) = steps("actions add action ct action vlan push id 4095")
    assert isinstance(step, ActionsAdd)
    ct, vlan = step.actions
    assert ct.error is None and str(vlan.error) == "Numerical result out of range"


def test_answers_about_chains() -> None:
    assert answer_chains(ChainShow("d"), [0, 5]) == (
        "chain parent ffff: chain 0 \nchain parent ffff: chain 5 \n"
    )
    assert answer_chains(ChainShow("d", chain=5), [5]) == "chain parent ffff: \n"
    assert answer_chains(ChainShow("d", chain=5, get=True), [5]) == (
        "chain parent ffff: chain 5 \n"
    )
    assert answer_chains(ChainShow("", block=7), [0]) == "chain chain 0 \n"
    json = Options(json=True)
    assert answer_chains(ChainShow("d", options=json), [5]) == (
        '[{"parent":"ffff:","chain":5}]\n'
    )


def test_answers_about_actions() -> None:
    states = [ActionState(7, skip_hw=True), ActionState(8)]
    text = answer_actions([Ct(), Ct()], states, Options(), 0)
    assert text == (
        "total acts 2\n\n\taction order 0: ct zone 0 pipe\n\t index 7 ref 1 bind 1\n"
        "\tskip_hw\n\n\taction order 1: ct zone 0 pipe\n\t index 8 ref 1 bind 1\n"
        "\tnot_in_hw\n"
    )
    brief = answer_actions([Ct()], states[1:], Options(brief=True, statistics=True), 0)
    assert brief.startswith(
        "total acts 1\n\n\taction order 0: ct\t index 8\n\tAction st"
    )


def test_answers_about_qdiscs() -> None:
    qdiscs = [ShownQdisc("d", "clsact", 7), ShownQdisc("e", "ingress")]
    assert answer_qdiscs(QdiscShow(""), qdiscs) == (
        "qdisc clsact ffff: dev d parent ffff:fff1 ingress_block 7 \n"
        "qdisc ingress ffff: dev e parent ffff:fff1 ---------------- \n"
    )
    counted = Options(statistics=True)
    assert answer_qdiscs(QdiscShow("d", counted), qdiscs[:1]).endswith(
        " Sent 0 bytes 0 pkt (dropped 0, overlimits 0 requeues 0) \n"
        " backlog 0b 0p requeues 0\n"
    )
