"""Many entries at once: Open vSwitch takes their rules by the bundle, all or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.openflow import OpenFlow
from controller.openflow import bundle, encode, messages
from controller.rules import AddEntry, Message, Table
from offload.conntrack import FlowTuple
from offload.flow_table import FlowEntry
from tests.e2e.state import Count, Meter, offloaded, status
from tests.e2e.typed import add
from tests.e2e.vm1_vm2 import HV1, est_filter, exchange, talk, udp, zone_filters
from tests.e2e.wire import Port
from topologies.testbed import Testbed

_EPOCH = 97  # of none of the driver's connections


def tuples(count: int) -> list[bytes]:
    """Flow-mods of the rules of so many connections."""
    flows = [
        FlowTuple(b"\x0a\x01\x01\x01", b"\x0a\x01\x01\x02", 6, n, 80)
        for n in range(count)
    ]
    told: list[Message] = [
        AddEntry(rule, 3600)
        for number, flow in enumerate(flows)
        for rule in FlowEntry(number, 0, 0, 0, (flow, flow.inverted())).rules
    ]
    return [*_apart(messages.encoded(_EPOCH, told, in_bundles=False))]


def _apart(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        end = at + int.from_bytes(data[at + 2 : at + 4], "big")
        found.append(data[at:end])
        at = end
    return found


def test_a_bundle_is_carried_out_whole(net: Testbed) -> None:
    with OpenFlow(net["hv1"].ovs.directory) as switch:
        before = switch.rules(Table.HW_CT)
        switch.send(bundle.bundled(b"".join(tuples(300))))
        switch.barrier()
        assert switch.rules(Table.HW_CT) == before + 600
        switch.send(
            encode.delete_by_cookie(_EPOCH << encode.EPOCH_SHIFT, encode.EPOCH_MASK)
        )
        switch.barrier()
        assert switch.rules(Table.HW_CT) == before


def test_of_a_bundle_that_finds_no_room_nothing_is_done(net: Testbed) -> None:
    """What tells of it has the bundle's number, so that it is not taken for a rule's own."""
    hv1 = net["hv1"]
    with OpenFlow(hv1.ovs.directory) as switch, room_for(hv1, "hw_ct", 20):
        before = switch.rules(Table.HW_CT)
        switch.send(bundle.bundled(b"".join(tuples(30))))
        switch.send(encode.barrier_request(1))
        numbers = set()
        for kind, xid, _body in switch._messages():
            if kind == messages.ERROR:
                numbers.add(xid)
            if kind == messages.BARRIER:
                break
        assert numbers == {bundle.XID}
        assert switch.rules(Table.HW_CT) == before


@contextmanager
def room_for(hypervisor: Any, table: str, rules: int) -> Iterator[None]:
    """Open vSwitch takes no more than so many rules in a table."""
    row = hypervisor.must(
        *f"ovs-vsctl --bare --columns=_uuid find Flow_Table name={table}".split()
    ).strip()
    limit = f"set Flow_Table {row} flow_limit={rules} overflow_policy=refuse"
    hypervisor.must("ovs-vsctl", *limit.split())
    try:
        yield
    finally:
        none = f"clear Flow_Table {row} flow_limit overflow_policy"
        hypervisor.must("ovs-vsctl", *none.split())


def test_many_entries_come_back_with_their_switch(
    net: Testbed, ports: dict[str, Port]
) -> None:
    add(net["hv1"], *zone_filters(3, 30), est_filter(30))
    conversations = [udp(ports, sport) for sport in range(4000, 4030)]
    for each in conversations:
        talk(each)
    offloaded(net, len(conversations), HV1)
    net["hv1"].restart_switch()
    offloaded(net, len(conversations), HV1)
    meter = Meter(net["hv1"], "ens1f0_0")
    for each in conversations:
        exchange(each)
    assert meter.read(chain=30, prio=1, ct_state="+trk+est") == Count(hardware=30)
    assert status(net, "hv1")["failures"] == {}
