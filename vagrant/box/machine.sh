#!/usr/bin/env bash
# Make a Debian system a machine of Vagrant's with the testbed baked in: mmdebstrap runs it, with the system in $1.
#
# What the testbed needs is scripts/install.sh's business; here is only what makes a machine of it.
set -euo pipefail
readonly system=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here project=$here/../..

inside() { chroot "$system" "$@"; }

add_files() {
    cp -r --no-preserve=mode,ownership "$here/guest/." "$system"
    chmod 0440 "$system/etc/sudoers.d/vagrant"
    echo testbed >"$system/etc/hostname"
    # Nothing in it: each VM makes its own.
    : >"$system/etc/machine-id"
}

add_user() {
    local key
    key=$(find /usr/share /opt -path '*keys/vagrant.pub' -print -quit 2>/dev/null)
    inside useradd --create-home --shell /bin/bash vagrant
    # Vagrant knows the key to this, and puts another in its place when the VM is first up.
    install -d -m 0700 "$system/home/vagrant/.ssh"
    install -m 0600 "$key" "$system/home/vagrant/.ssh/authorized_keys"
    inside chown -R vagrant:vagrant /home/vagrant
}

# The environment is made of these files alone: the sources come with each `vagrant up`.
bake_testbed() {
    mkdir -p "$system/testbed/.cache"
    cp -r "$project"/{setup.cfg,pyproject.toml,README.md,LICENSE,scripts} "$system/testbed"
    inside chown -R vagrant:vagrant /testbed
    PIP_NO_COMPILE=1 with_host_network inside /testbed/scripts/install.sh
    # A VM is nobody's work tree, and compiling it all anew takes an emulated processor half a minute.
    rm "$system"/testbed/.venv/lib/python3*/site-packages/no_bytecode.pth
    # pip would do it on one processor. There are files that are not for this Python: code 1.
    inside /testbed/.venv/bin/python -m compileall -q -j 0 /testbed/.venv/lib >/dev/null || (($? == 1))
    rm -rf "$system/testbed/.cache" "$system"/root/.cache
}

# This machine's name servers, certificates and pip configuration, while the command runs.
with_host_network() {
    local lent=$system/tmp/lent certificates=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}
    mkdir "$lent"
    cp --remove-destination /etc/resolv.conf "$system/etc/resolv.conf"
    [[ ! -e $certificates ]] || cp "$certificates" "$lent/ca.crt"
    [[ ! -e /etc/pip.conf ]] || sed '/^cert/d' /etc/pip.conf >"$lent/pip.conf"
    PIP_CERT=/tmp/lent/ca.crt SSL_CERT_FILE=/tmp/lent/ca.crt REQUESTS_CA_BUNDLE=/tmp/lent/ca.crt \
        PIP_CONFIG_FILE=/tmp/lent/pip.conf PIP_NO_CACHE_DIR=1 "$@"
    rm -r "$lent"
}

start_what_is_needed() {
    inside systemctl --quiet enable systemd-networkd systemd-resolved ssh
    # Each hypervisor has an Open vSwitch of its own.
    inside systemctl --quiet disable openvswitch-switch
    inside systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer systemd-networkd-wait-online
    ln -sf /run/systemd/resolve/stub-resolv.conf "$system/etc/resolv.conf"
}

# A short way to the disk: QEMU's and VirtualBox's, no other's.
make_initramfs() {
    printf '%s\n' virtio_pci virtio_blk virtio_scsi sd_mod ahci ext4 >>"$system/etc/initramfs-tools/modules"
    sed -i 's/^MODULES=.*/MODULES=list/' "$system/etc/initramfs-tools/initramfs.conf"
    inside update-initramfs -u
}

write_manifest() {
    inside dpkg-query -W >"$system/etc/ct-offload-box"
    inside /testbed/.venv/bin/python -m pip list --format=freeze >>"$system/etc/ct-offload-box"
}

add_files
add_user
bake_testbed
start_what_is_needed
make_initramfs
write_manifest
