"""``tc actions``: actions that filters share."""

from __future__ import annotations

import json

import pytest

from controller.commands.answer import Answer
from tests.unit.connections import TCP, UDP
from tests.unit.controller.bed import PORTS, REP0, REP1, VXLAN, Bed, of_connection

ADD = f"filter add dev {REP0} ingress proto ip flower"
REDIRECT = f"action mirred egress redirect dev {REP1}"


def listed(bed: Bed, kind: str = "ct", options: str = "") -> list[dict[str, object]]:
    text = bed.tc(f"-j {options} actions ls action {kind}").stdout
    found = json.loads(text)
    return found[1]["actions"] if found else []


def test_add_list_get_delete() -> None:
    bed = Bed()
    assert bed.tc("actions add action ct zone 5 index 7 cookie aabb") == Answer()
    assert bed.tc("actions ls action ct").stdout == (
        "total acts 1\n\n\taction order 0: ct zone 5 pipe\n\t index 7 ref 1 bind 0\n"
        "\tcookie aabb\n\tnot_in_hw\n"
    )
    assert bed.tc("actions get action ct index 7").stdout.startswith(
        "total acts 0\n\n\taction order 1: ct zone 5 pipe\n"
    )
    assert bed.tc("actions del action ct index 7") == Answer()
    assert bed.tc("actions ls action ct") == Answer()
    assert bed.tc("-j actions ls action ct") == Answer(stdout="[]\n")


def test_filters_share_one() -> None:
    bed = Bed()
    bed.add("actions add action ct zone 5 index 7")
    bed.add(f"{ADD} ip_proto tcp action ct index 7 pipe {REDIRECT}")
    bed.add(f"{ADD} ip_proto udp action ct index 7 pipe {REDIRECT}")
    [ct] = listed(bed)
    assert (ct["zone"], ct["ref"], ct["bind"]) == (5, 3, 2)
    bed.send(of_connection(TCP))
    bed.send(of_connection(UDP))
    bed.send(of_connection(UDP))
    [ct] = listed(bed, options="-s")
    assert ct["stats"]["packets"] == 3  # type: ignore[index]
    shown = [action for action in bed.shown_actions() if action["kind"] == "ct"]
    assert [each["stats"]["packets"] for each in shown] == [3, 3]


def test_a_shared_action_keeps_what_a_filter_counted_that_is_gone() -> None:
    bed = Bed()
    bed.add("actions add action gact pass index 3")
    bed.add(f"{ADD} ip_proto tcp action gact index 3")
    bed.send(of_connection(TCP))
    bed.add(f"filter del dev {REP0} ingress")
    [gact] = listed(bed, "gact", "-s")
    assert (gact["bind"], gact["stats"]["packets"]) == (0, 1)  # type: ignore[index]


def test_it_keeps_what_was_counted_while_the_filter_went() -> None:
    """Packets between the command's look at the counters and the rules' removal."""
    bed = Bed()
    bed.add("actions add action gact pass index 3")
    bed.add(f"{ADD} ip_proto tcp action gact index 3")
    bed.add(f"{ADD} ip_proto udp action ct pipe action gact index 3")
    bed.send(of_connection(TCP))
    more = [of_connection(TCP), of_connection(UDP)]
    bed.switch.meanwhile = lambda: [bed.send(more.pop()) for _ in list(more)]
    bed.add(f"filter del dev {REP0} ingress")
    [gact] = listed(bed, "gact", "-s")
    assert (gact["bind"], gact["stats"]["packets"]) == (0, 3)  # type: ignore[index]


def test_a_switch_that_went_away_tells_no_more() -> None:
    bed = Bed()
    bed.add("actions add action gact pass index 3")
    bed.add(f"{ADD} ip_proto tcp action gact index 3")
    bed.send(of_connection(TCP))
    installed = next(iter(bed.hypervisor.filters))
    [instance] = bed.hypervisor.filters.classifier.actions.of("gact")
    bed.hypervisor.leaving.add(installed, (instance,), ())
    bed.connect()
    bed.hypervisor.filters.remove(installed.filter)
    bed.deliver()
    assert instance.software.packets == instance.hardware.packets == 0


def test_a_change_reaches_all_that_share_it() -> None:
    bed = Bed()
    bed.add(f"actions add {REDIRECT} index 3")
    bed.add(f"{ADD} ip_proto tcp action mirred index 3")
    bed.add(f"{ADD} ip_proto udp skip_hw action drop")
    assert bed.send(of_connection(TCP)).ports == [PORTS[REP1]]
    bed.add(f"actions change action mirred egress redirect dev {REP0} index 3")
    assert bed.send(of_connection(TCP)).ports == [PORTS[REP0]]
    shown = [each for each in bed.shown_actions() if each["kind"] == "mirred"]
    assert shown[0]["to_dev"] == REP0 and shown[0]["stats"]["packets"] == 2


def test_a_tunnel_key_that_is_changed_sends_elsewhere() -> None:
    """What only a port's options can say is said by another port."""
    key = "tunnel_key set src_ip 7.7.7.7 dst_ip 7.7.7.8 id 98"
    bed = Bed()
    bed.add(
        f"actions add action {key} index 3",
        f"{ADD} action tunnel_key index 3 action mirred egress redirect dev {VXLAN}",
    )
    assert bed.send(of_connection(TCP)).ports == [PORTS[VXLAN]]
    bed.add(f"actions change action {key} ttl 9 index 3")
    [sender] = bed.hypervisor.senders.values()
    assert bed.send(of_connection(TCP)).ports == [sender]
    bed.add(
        f"{ADD} ip_proto tcp action {key} tos 4 dst_port 4790 "
        f"action mirred egress redirect dev {VXLAN}"
    )
    assert len(bed.hypervisor.senders) == 2
    new, _ = bed.filters()
    assert "not_in_hw" in new["options"]


def test_a_change_of_zone_takes_the_zones_table_along() -> None:
    bed = Bed()
    bed.add("actions add action ct zone 5 index 7")
    bed.add(f"{ADD} ip_proto tcp action ct index 7 pipe {REDIRECT}")
    bed.add("actions replace action ct zone 6 index 7")
    assert set(bed.hypervisor.act_ct.tables) == {6}


def test_a_change_that_one_filter_cannot_follow_changes_none() -> None:
    bed = Bed()
    bed.add(f"actions add {REDIRECT} index 3")
    bed.add(f"{ADD} ip_proto tcp action mirred index 3")
    bed.add(f"{ADD} ip_proto udp action mirred index 3")
    before = bed.everything()
    answer = bed.tc(f"actions change action mirred egress redirect dev {VXLAN} index 3")
    assert answer.code and "needs tunnel_key set" in answer.stderr
    assert bed.everything() == before
    assert bed.send(of_connection(UDP)).ports == [PORTS[REP1]]


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (
            "actions get action ct index 77",
            255,
            "Error: TC action with specified index not found.\n"
            "We have an error talking to the kernel\n"
            'Command "action" is unknown, try "tc actions help".\n',
        ),
        (
            "actions del action ct index 7",
            255,
            "Error: Failed to delete TC action.\n"
            "We have an error talking to the kernel\n"
            'Command "action" is unknown, try "tc actions help".\n',
        ),
        (
            "actions add action ct index 7",
            255,
            "RTNETLINK answers: File exists\nWe have an error talking to the kernel\n",
        ),
        (
            "actions flush action nosuch",
            1,
            "Error: Cannot flush unknown TC action.\nWe have an error flushing\n",
        ),
        (
            "actions flush action ct",
            1,
            "RTNETLINK answers: Operation not permitted\nWe have an error flushing\n",
        ),
    ],
)
def test_what_the_kernel_refuses(line: str, code: int, said: str) -> None:
    bed = Bed()
    bed.add("actions add action ct zone 5 index 7")
    bed.add(f"{ADD} action ct index 7 pipe {REDIRECT}")
    assert bed.tc(line) == Answer(code, "", said)


def test_flush_says_what_it_left() -> None:
    bed = Bed()
    bed.add("actions add action ct index 1 action ct index 2")
    bed.add(f"{ADD} action ct index 2 pipe {REDIRECT}")
    assert bed.tc("actions flush action ct") == Answer(
        stderr="Warning: Unable to flush all TC actions.\n"
    )
    assert [each["index"] for each in listed(bed)] == [2]


def test_commands_one_after_the_other_until_one_fails() -> None:
    bed = Bed()
    bed.add("actions add action ct add action ct zone 2")
    assert len(listed(bed)) == 2
    answer = bed.tc("actions add action ct index 1 add action ct index 9")
    assert answer.code == 255 and len(listed(bed)) == 2


def test_since() -> None:
    bed = Bed()
    bed.add("actions add action ct")
    bed.now_s += 5
    assert bed.tc("actions ls action ct since 1000") == Answer()
    assert bed.tc("actions ls action ct since 9000").stdout


def test_hw_stats_that_mlx5_does_not_have() -> None:
    bed = Bed()
    for words in ("hw_stats immediate", "hw_stats disabled"):
        bed.add(f"{ADD} {REDIRECT} {words}")
        [filter_] = bed.filters()
        assert filter_["options"]["not_in_hw"]
        bed.add(f"filter del dev {REP0} ingress")
    bed.add(f"{ADD} action ct hw_stats delayed pipe {REDIRECT}")
    [filter_] = bed.filters()
    assert filter_["options"]["not_in_hw"], "mixed"
    bed.add(f"filter del dev {REP0} ingress")
    bed.add(f"{ADD} {REDIRECT} hw_stats delayed")
    [filter_] = bed.filters()
    assert filter_["options"]["in_hw"]


def test_what_an_unknown_kind_says() -> None:
    bed = Bed()
    assert bed.tc("actions ls action nosuch") == Answer()
    assert bed.tc("actions ls action police").stderr.startswith(
        "Error: action police: not supported by the testbed."
    )
