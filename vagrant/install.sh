#!/usr/bin/env bash
# Install what a Debian machine needs to bring the testbed's VMs up: Vagrant, libvirt and QEMU. Nothing is started.
#
#   vagrant/install.sh     safe to run again at any time: with nothing to do it takes a moment and no network
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root log=$root/.cache/vagrant-install.log speaker=vagrant-test
readonly packages=(
    dbus
    dnsmasq-base
    iproute2
    iptables
    libvirt-clients
    libvirt-daemon-driver-qemu
    libvirt-daemon-system
    openssh-client
    python3
    qemu-system-x86
    qemu-utils
    rsync
    util-linux
    vagrant
    vagrant-libvirt
)
# shellcheck source=scripts/packages.sh
source "$root/scripts/packages.sh"

install_packages
