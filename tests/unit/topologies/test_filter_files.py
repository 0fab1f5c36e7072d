"""The ready-made filters: shape, not meaning (end-to-end tests have that)."""

import re
from pathlib import Path

import pytest

from topologies import FILTERS

FILES = sorted(FILTERS.glob("two_hypervisors.*.tc"))
_OURS = {
    "two_hypervisors.hv1": ("7.7.7.7", "7.7.7.8"),
    "two_hypervisors.hv2": ("7.7.7.8", "7.7.7.7"),
}
_ADD = re.compile(
    r"filter add dev (?P<dev>\S+) ingress prio (?P<prio>\d+) chain (?P<chain>\d+)"
    r" proto (?P<proto>\S+) flower (?P<match>.*?) ?action (?P<actions>.*)"
)


def commands(path: Path) -> list[re.Match[str]]:
    """Return the commands as tc reads them: comments cut, lines joined."""
    text = re.sub(r"#.*", "", path.read_text()).replace("\\\n", "")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    found = [_ADD.fullmatch(line) for line in lines if line]
    assert all(found), [
        line for line, match in zip(filter(None, lines), found) if not match
    ]
    return [match for match in found if match]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestFile:
    def test_ports(self, path: Path) -> None:
        assert {command["dev"] for command in commands(path)} == {
            "ens1f0_0",
            "ens1f0_1",
            "vxlan0",
        }

    def test_prio_1_is_the_users(self, path: Path) -> None:
        assert all(int(command["prio"]) > 1 for command in commands(path))

    def test_a_prio_of_a_chain_has_one_protocol(self, path: Path) -> None:
        # The kernel refuses another: net/sched/cls_api.c:tcf_chain_tp_find.
        protocols: dict[tuple[str, ...], set[str]] = {}
        for command in commands(path):
            place = command.group("dev", "chain", "prio")
            protocols.setdefault(place, set()).add(command["proto"])
        assert all(len(protocol) == 1 for protocol in protocols.values())

    def test_every_goto_leads_to_a_chain_of_the_protocol(self, path: Path) -> None:
        chains = {command.group("dev", "chain", "proto") for command in commands(path)}
        for command in commands(path):
            if goto := re.search(r"goto chain (\d+)", command["actions"]):
                assert (command["dev"], goto[1], command["proto"]) in chains

    def test_no_filter_sends_back_where_it_came_from(self, path: Path) -> None:
        for command in commands(path):
            assert f"dev {command['dev']}" not in command["actions"]

    def test_decapsulation_and_goto_are_apart(self, path: Path) -> None:
        for command in commands(path):
            assert not ("goto" in command["actions"] and "unset" in command["actions"])

    def test_tunnel_ends(self, path: Path) -> None:
        own, other = _OURS[path.stem]
        for command in commands(path):
            if command["dev"] == "vxlan0":
                assert (
                    f"enc_src_ip {other} enc_dst_ip {own} enc_key_id 98"
                    in command["match"]
                )
            elif "vxlan0" in command["actions"]:
                assert f"dst_ip {other} id 98 dst_port 4789" in command["actions"]

    def test_connections_are_committed_when_new_and_only_then(self, path: Path) -> None:
        for command in commands(path):
            assert ("+trk+new" in command["match"]) == (
                "ct commit" in command["actions"]
            )


def test_both_hypervisors_have_one() -> None:
    assert [path.stem for path in FILES] == sorted(_OURS)
