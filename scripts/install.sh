#!/usr/bin/env bash
# Install what the testbed needs and is not there yet: system packages, and a virtual environment in .venv.
#
#   scripts/install.sh     safe to run again at any time: with nothing to do it takes a moment and no network
#
# The system's Open vSwitch service is neither needed nor touched: each hypervisor has daemons of its own.
set -euo pipefail

# Mininet and Open vSwitch's Python module come from here, so the venv must be of the system's Python.
readonly packages=(
    conntrack
    ethtool
    iperf3
    iproute2
    iputils-ping
    make
    mininet
    nftables
    openvswitch-switch
    procps
    python3
    python3-openvswitch
    python3-venv
    qemu-system-x86
    tcpdump
)
readonly python=/usr/bin/python3

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly venv=$root/.venv stamp=$root/.venv/complete log=$root/.cache/install.log speaker=setup
# shellcheck source=scripts/packages.sh
source "$root/scripts/packages.sh"

# What the venv was made from, and how. A venv knows its own path, so that is part of it.
venv_key() {
    {
        echo "$root" "$("$python" -V)"
        awk '/^\[/ { keep = /^\[(metadata|options)/ } keep' "$root/setup.cfg"
        cat "$root/pyproject.toml" "$root/scripts/constraints.txt"
        declare -f fill_venv write_bytecode_nowhere
    } | sha256sum
}

make_venv() {
    local key
    key=$(venv_key)
    [[ $(cat "$stamp" 2>/dev/null) == "$key" ]] && return 0
    start_log
    # Of two at a time the second waits, and finds the work done.
    exec 9>"$root/.cache/install.lock"
    flock 9
    [[ $(cat "$stamp" 2>/dev/null) == "$key" ]] && return 0
    say "making a virtual environment in ${venv#"$PWD/"} (a minute)"
    rm -f "$stamp"
    fill_venv
    echo "$key" >"$stamp"
    give_to_owner
    say "done in ${SECONDS} s"
}

fill_venv() {
    unset PYTHONHOME PYTHONPATH PIP_PREFIX PIP_TARGET PIP_USER PIP_REQUIRE_VIRTUALENV
    export PIP_CONSTRAINT=$root/scripts/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1
    export PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1 PIP_RETRIES=${PIP_RETRIES:-2} PIP_PROGRESS_BAR=off
    local pip=("$venv/bin/python" -m pip install)
    logged "make a virtual environment" "$python" -m venv --clear --system-site-packages "$venv"
    write_bytecode_nowhere
    # Ryu 4.34 is source only and builds with setuptools < 67 (constraints.txt), so not in pip's isolated build.
    logged "install the build tools" "${pip[@]}" --ignore-installed setuptools wheel pbr
    logged "install Ryu" "${pip[@]}" --no-build-isolation ryu
    logged "install the Python packages" "${pip[@]}" --no-build-isolation -e "$root[dev,bench]"
}

# Run as root from a user's work tree, Python must not fill it with files of root's.
write_bytecode_nowhere() {
    local site
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo 'import sys; sys.dont_write_bytecode = True' >"$site/no_bytecode.pth"
}

# After sudo, what is in the tree still belongs to the owner of the tree.
give_to_owner() {
    ((EUID != 0)) || chown -R --reference="$root" "$venv" "$root/.cache"
}

install_packages
make_venv
