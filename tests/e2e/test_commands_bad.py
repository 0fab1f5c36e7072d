"""Bad commands: tc's own message and exit code, and nothing is changed.

What tc refuses before it asks the kernel is compared with the system's tc, which in the
hypervisor's namespace meets the same devices.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.command_line import (
    CHAIN,
    Said,
    filter_add,
    has_modelled_tc,
    refused,
    system_says,
    typed,
    unchanged,
)
from topologies.testbed import Testbed

PLACE = f"dev ens1f0_0 ingress chain {CHAIN}"


@pytest.fixture
def hv1(module_net: Testbed) -> Any:
    return module_net["hv1"]


@pytest.mark.parametrize(
    "line",
    [
        filter_add("ct_state +bogus action drop"),
        filter_add("ct_state +trk+ action drop"),
        filter_add("src_mac 24:8a:07:a5:28:zz action drop"),
        filter_add("dst_ip 10.9.0.0/33 action drop"),
        filter_add("dst_ip 10.9.0.1 action drop", protocol="arp"),
        filter_add("dst_ip fd00::1 action drop"),
        filter_add("ip_proto nosuch action drop"),
        filter_add("dst_port 80 action drop"),
        filter_add("ip_proto tcp dst_port 70000 action drop"),
        filter_add("ct_zone 65536 action drop"),
        filter_add("ct_mark 4294967296 action drop"),
        filter_add("ct_label 0x action drop"),
        filter_add("enc_key_id x action drop"),
        filter_add("dst_ip"),
        filter_add("action ct zone 65536"),
        filter_add("action ct clear commit"),
        filter_add("action ct commit nat src"),
        filter_add("action ct nat src addr 10.9.0.1"),
        filter_add("action tunnel_key set id 98 dst_port x"),
        filter_add("action mirred egress redirect dev nosuch"),
        filter_add("action mirred egress"),
        filter_add("action drop", protocol="nosuch"),
        filter_add("action drop").replace("chain", "chain x chain"),
        filter_add("action drop").replace("prio 1", "prio 65536"),
        filter_add("action drop").replace("prio 1", "prio x"),
        filter_add("action drop").replace("prio 1", "prio 1 prio 2"),
        filter_add("action drop").replace("ens1f0_0", "ens1f0_0 dev ens1f0_1"),
        f"tc filter del {PLACE} prio",
        f"tc filter show {PLACE} nonsense",
        f"tc filter get {PLACE} prio 1",
        "tc filter nonsense",
        "tc -nonsense filter show",
        "tc -batch /no/such/file",
    ],
)
def test_tc_refuses_as_the_systems_does(hv1: Any, line: str) -> None:
    system = system_says(hv1, line)
    with unchanged(hv1):
        said = typed(hv1, line)
    assert said.code != 0 and system.code != 0 and said.stderr
    assert said == system or not has_modelled_tc(hv1)


@pytest.mark.parametrize(
    "line",
    [
        filter_add("bogus action drop"),
        filter_add("src_mca 24:8a:07:a5:28:01 action drop"),
        filter_add("action nonsense"),
        filter_add("action goto chain 999999999999"),
        filter_add("action tunnel_key nonsense"),
        filter_add("action ct nonsense"),
        filter_add("action mirred sideways redirect dev ens1f0_1"),
    ],
)
def test_before_its_usage_tc_says_what_is_wrong(hv1: Any, line: str) -> None:
    """The usage itself is the testbed's: it names what the testbed knows."""
    system = system_says(hv1, line)
    with unchanged(hv1):
        said = typed(hv1, line)
    assert said.code != 0 and system.code != 0 and said.stdout == ""
    ours, theirs = said.stderr.splitlines()[0], system.stderr.splitlines()[0]
    same = (said.code, ours) == (system.code, theirs)
    assert same or not has_modelled_tc(hv1)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (
            filter_add("ct_state +new action drop"),
            refused("no trk, so no other flag can be set"),
        ),
        (
            filter_add("ct_state +trk+new+est action drop"),
            refused("new and est are mutually exclusive"),
        ),
        (
            filter_add("ct_state +trk+inv+est action drop"),
            refused("when inv is set, only trk may be set"),
        ),
        (
            filter_add("ct_state +trk+new+rpl action drop"),
            refused("new and rpl are mutually exclusive"),
        ),
        (filter_add("skip_sw skip_hw action drop"), refused()),
        (
            filter_add(
                "action tunnel_key set src_ip 0.0.0.0 dst_ip fd00::9 id 98"
                " action mirred egress redirect dev vxlan0"
            ),
            refused("Missing either ipv4 or ipv6 src and dst"),
        ),
        (
            filter_add("action drop").replace(f"chain {CHAIN}", "chain 268435456"),
            refused("Specified chain index exceeds upper limit"),
        ),
        (
            filter_add("").replace("flower", "flowr"),
            refused("TC classifier not found"),
        ),
        (
            filter_add("skip_sw action drop").replace("ingress", "egress"),
            refused(errno="Operation not supported"),
        ),
    ],
)
def test_the_kernel_refuses(hv1: Any, line: str, answer: Said) -> None:
    with unchanged(hv1):
        assert typed(hv1, line) == answer


def test_an_argument_that_is_no_text(hv1: Any) -> None:
    with unchanged(hv1):
        said = typed(hv1, "tc filter add dev ens1f0_0 ingress \udcff\udcfe flower")
    assert said == Said(
        1, "", 'Unknown filter "\udcff\udcfe", hence option "flower" is unparsable\n'
    )
