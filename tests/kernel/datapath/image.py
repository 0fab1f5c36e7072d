"""What the guest boots: modules, and a script that changes over to the host's root.

Source: Documentation/filesystems/{9p,overlayfs,ramfs-rootfs-initramfs}.rst
"""

from __future__ import annotations

from tests.kernel.oracle import initramfs, modules
from tests.kernel.oracle.build import Built

HOST_TAG, EXCHANGE_TAG = "host", "exchange"
EXCHANGE = "/run/exchange"
START = "start"
"""The script in the exchanged folder that the guest ends up in."""

_APPLETS = ("sh", "mount", "mkdir", "insmod", "switch_root", "reboot")
_FOLDERS = ("proc", "sys", "dev", "host", "layer", "root", "modules")
_MODULES = (
    *(
        "virtio_pci",
        "virtio_console",
        "crc32c_generic",
        "9pnet_virtio",
        "9p",
        "overlay",
    ),
    *("tun", "veth", "bridge", "vxlan", "openvswitch", "vport-vxlan"),
    *("nf_conntrack_netlink", "nfnetlink_cttimeout", "nf_tables", "nft_ct"),
    *("sch_ingress", "sch_tbf", "sch_netem", "cls_flower", "act_ct", "act_mirred"),
    *("act_tunnel_key", "act_gact"),
)
_INIT = """#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do
    insmod "/modules/$module" || echo "insmod $module failed"
done < /modules/order
# Nobody writes below the host's root in here, so what was read once need not be asked for again.
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose @host@ /host
mount -t tmpfs layer /layer
mkdir /layer/new /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/new,workdir=/layer/work root /root
for kept in proc sys dev; do mount --move /$kept /root/$kept; done
for fresh in run dev/shm; do mkdir -p /root/$fresh && mount -t tmpfs $fresh /root/$fresh; done
mkdir -p /root/dev/pts /root@exchange@
mount -t devpts devpts /root/dev/pts
mount -t 9p -o trans=virtio,version=9p2000.L @tag@ /root@exchange@
exec switch_root /root /bin/sh @exchange@/@start@
"""


def make(built: Built) -> bytes:
    """Return the initramfs."""
    archive = initramfs.Archive()
    for folder in _FOLDERS:
        archive.folder(folder)
    initramfs.add_busybox(archive, built.busybox, _APPLETS)
    order = modules.in_load_order(built.modules, _MODULES)
    initramfs.add_modules(archive, order)
    archive.file("init", _init().encode(), executable=True)
    return archive.packed()


def _init() -> str:
    text = _INIT.replace("@host@", HOST_TAG).replace("@tag@", EXCHANGE_TAG)
    return text.replace("@exchange@", EXCHANGE).replace("@start@", START)
