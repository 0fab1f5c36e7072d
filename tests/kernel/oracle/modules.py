"""Which of the kernel's modules the guest loads, each after those it needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.kernel.oracle.errors import Unavailable

WANTED = (
    *("virtio_pci", "virtio_console", "crc32c_generic"),
    *("veth", "vxlan", "dummy", "ifb"),
    *("nf_conntrack", "nf_conntrack_netlink", "nf_nat", "nf_flow_table"),
    *("sch_ingress", "cls_flower", "cls_matchall", "act_ct", "act_mirred", "act_gact"),
    *("act_tunnel_key", "act_pedit", "act_csum", "act_skbedit", "act_vlan"),
    *("act_police", "openvswitch", "vport-vxlan"),
)
DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


def in_load_order(root: Path, wanted: Iterable[str] = WANTED) -> tuple[Path, ...]:
    """Return the files of the modules and of all they depend on.

    What a module needs is in the module itself: no depmod has run where nothing was installed.
    """
    files = {_name(path.stem): path for path in sorted(root.rglob("*.ko"))}
    order: dict[str, Path] = {}
    for name in wanted:
        for path in _with_needs(_name(name), files):
            order.setdefault(path.stem, path)
    return tuple(order.values())


def _name(module: str) -> str:
    return module.replace("-", "_")


def _with_needs(name: str, files: dict[str, Path]) -> Iterator[Path]:
    path = files.get(name)
    if path is None:
        raise Unavailable(f"the kernel has no module {name}")
    found = DEPENDS.search(path.read_bytes())
    needs = found.group(1).decode().split(",") if found else []
    for need in filter(None, needs):
        yield from _with_needs(_name(need), files)
    yield path
