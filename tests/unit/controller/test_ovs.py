"""Open vSwitch's daemons beside OpenFlow: JSON-RPC and ovs-vsctl."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller import ovs as module
from controller.ovs import Ovs, OvsError
from controller.rules import Table
from controller.tunnels import Outer

Answers = Callable[[dict[str, object]], list[bytes]]


@contextmanager
def vswitchd(directory: Path, answers: Answers) -> Iterator[list[dict[str, object]]]:
    """An ovs-vswitchd that answers each request in the pieces it is told to."""
    asked: list[dict[str, object]] = []
    with socket.socket(socket.AF_UNIX) as server:
        (directory / "ovs-vswitchd.pid").write_text("1\n")
        server.bind(str(directory / "ovs-vswitchd.1.ctl"))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    channel, _ = server.accept()
                except OSError:
                    return
                with channel:
                    asked.append(json.loads(channel.recv(65536)))
                    for piece in answers(asked[-1]):
                        channel.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def answer(result: object = "", error: object = None) -> list[bytes]:
    return [json.dumps({"id": 0, "result": result, "error": error}).encode()]


def test_a_command_and_its_answer(tmp_path: Path) -> None:
    with vswitchd(tmp_path, lambda _: answer("two\nlines\n")) as asked:
        assert Ovs(str(tmp_path)).appctl("dpctl/x", "-m", "zone=5") == "two\nlines\n"
    assert asked == [{"id": 0, "method": "dpctl/x", "params": ["-m", "zone=5"]}]


def test_a_long_answer_comes_in_pieces(tmp_path: Path) -> None:
    text = "tcp,orig=(...)}\n" * 20000
    whole = answer(text)[0]
    pieces = [
        whole[:10],
        whole[10 : whole.index(b"}") + 1],
        whole[whole.index(b"}") + 1 :],
    ]
    with vswitchd(tmp_path, lambda _: pieces):
        assert Ovs(str(tmp_path)).appctl("x") == text


def test_no_result_is_an_empty_one(tmp_path: Path) -> None:
    with vswitchd(tmp_path, lambda _: answer(None)):
        assert Ovs(str(tmp_path)).appctl("x") == ""


def test_it_says_no(tmp_path: Path) -> None:
    with vswitchd(tmp_path, lambda _: answer(None, "unknown command\n")):
        with pytest.raises(OvsError, match="^x: unknown command$"):
            Ovs(str(tmp_path)).appctl("x")


def test_it_hangs_up(tmp_path: Path) -> None:
    with vswitchd(tmp_path, lambda _: []):
        with pytest.raises(OvsError, match="closed the connection"):
            Ovs(str(tmp_path)).appctl("x")


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(OvsError, match="no ovs-vswitchd in"):
        Ovs(str(tmp_path)).appctl("x")
    dead = socket.socket(socket.AF_UNIX)
    (tmp_path / "ovs-vswitchd.pid").write_text("1\n")
    dead.bind(str(tmp_path / "ovs-vswitchd.1.ctl"))
    dead.close()
    with pytest.raises(OvsError, match="(?i)x: .*refused"):
        Ovs(str(tmp_path)).appctl("x")


def test_counters_are_credited_after_a_look(tmp_path: Path) -> None:
    looked = threading.Event()

    def after_a_look(_: object) -> list[bytes]:
        assert looked.wait(10)
        return answer()

    with vswitchd(tmp_path, after_a_look) as asked:
        Ovs(str(tmp_path)).credit_counters(looked.set)
    assert [each["method"] for each in asked] == ["revalidator/wait"]


def test_a_second_round_is_one_that_began_later(tmp_path: Path) -> None:
    looks: list[int] = []

    with vswitchd(tmp_path, lambda _: answer()) as asked:
        Ovs(str(tmp_path)).credit_counters(lambda: looks.append(len(asked)), 2)
    assert len(asked) == len(looks) == 2
    assert looks[1] >= 1


def test_flows_are_forgotten(tmp_path: Path) -> None:
    with vswitchd(tmp_path, lambda _: answer()) as asked:
        Ovs(str(tmp_path)).forget_flows()
    assert [each["method"] for each in asked] == ["revalidator/purge"]


def test_a_look_that_came_too_early_is_repeated(tmp_path: Path) -> None:
    looks = threading.Semaphore(0)

    def after_two(_: object) -> list[bytes]:
        assert looks.acquire(timeout=10) and looks.acquire(timeout=10)
        return answer()

    with vswitchd(tmp_path, after_two):
        Ovs(str(tmp_path)).credit_counters(looks.release)


def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.05)
    over = threading.Event()

    def too_late(_: object) -> list[bytes]:
        over.wait(10)
        return []

    with vswitchd(tmp_path, too_late):
        with pytest.raises(OvsError, match="revalidator/wait: no answer"):
            Ovs(str(tmp_path)).credit_counters(lambda: None)
        over.set()


@pytest.fixture
def vsctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ovs-vsctl that writes down how it was called, a word a line."""
    log = tmp_path / "log"
    program = tmp_path / "ovs-vsctl"
    program.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" >> ' + str(log) + "\n"
        'case "$*" in\n'
        '*nonsense*) echo "bad word" >&2; exit 1;;\n'
        "*ct_zones:5*) echo the-zone;;\n"
        "*datapaths:*) echo the-datapath;;\n"
        "*ofport*) echo 7;;\n"
        "esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return log


def test_vsctl_speaks_to_its_own_database(tmp_path: Path, vsctl: Path) -> None:
    Ovs(str(tmp_path)).vsctl("show")
    database, timeout, show = vsctl.read_text().splitlines()
    assert database == f"--db=unix:{tmp_path}/db.sock"
    assert timeout.startswith("--timeout=") and show == "show"
    with pytest.raises(OvsError, match="ovs-vsctl .* nonsense: bad word"):
        Ovs(str(tmp_path)).vsctl("nonsense")


@pytest.mark.parametrize(
    ("datapath", "type_"),
    [("netdev@ovs-netdev: hit:0", "netdev"), ("system@x", "system")],
)
def test_a_zone_has_the_kernels_timeouts(
    tmp_path: Path, vsctl: Path, datapath: str, type_: str
) -> None:
    with vswitchd(tmp_path, lambda _: answer(datapath)):
        Ovs(str(tmp_path)).prepare_zone(5)
    words = vsctl.read_text().splitlines()
    assert {"add-zone-tp", type_, "zone=5"} <= set(words)
    assert {f"datapaths:{type_}", "the-datapath", "the-zone"} <= set(words)
    [timeouts] = [word for word in words if word.startswith("timeouts=")]
    assert "tcp_established=432000" in timeouts and "udp_single=30" in timeouts


def test_a_port_that_only_sends(tmp_path: Path, vsctl: Path) -> None:
    assert Ovs(str(tmp_path)).add_sender(Outer(4790, False, 0xB8, 9)) == 7
    words = vsctl.read_text().splitlines()
    options = {word.partition(":")[2] for word in words if word.startswith("options:")}
    assert {"dst_port=4790", "csum=false", "tos=184", "ttl=9"} <= options
    assert {"remote_ip=flow", "out_key=flow"} <= options


@pytest.mark.parametrize("datapath", ["netdev@ovs-netdev", "system@ovs-system"])
def test_a_switch_is_prepared(tmp_path: Path, vsctl: Path, datapath: str) -> None:
    with vswitchd(tmp_path, lambda _: answer(datapath)) as asked:
        Ovs(str(tmp_path)).prepare()
    words = vsctl.read_text().splitlines()
    named = next(word for word in words if word.startswith("flow_tables="))
    for table in Table:
        assert f"name={table.name.lower()}" in words
        assert f"{table.value}=@{table.name.lower()}" in named
    methods = [each["method"] for each in asked]
    liberal = "dpctl/ct-disable-tcp-seq-chk"
    assert (liberal in methods) == datapath.startswith("netdev")
    small = [
        each["params"] for each in asked if each["method"] == "dpctl/ipf-set-min-frag"
    ]
    families = ("v4", "v6") if datapath.startswith("netdev") else ()
    assert small == [[family, "400"] for family in families]
