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
    mininet
    nftables
    openvswitch-switch
    procps
    python3
    python3-openvswitch
    python3-venv
    tcpdump
)
readonly python=/usr/bin/python3

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly venv=$root/.venv stamp=$root/.venv/complete log=$root/.cache/install.log
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C.UTF-8

say() { printf 'setup: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# Run a command with its output in the log, and a line of it here every few seconds.
# On failure: one line, with the reason. Usage: logged WHAT COMMAND...
logged() {
    local what=$1 from
    shift
    printf '\n$ %s\n' "$*" >>"$log"
    from=$(wc -l <"$log")
    "$@" 2>&1 </dev/null | progress || die "cannot $what: $(reason "$from") (all of it: ${log#"$PWD/"})"
}

# Why the command that logged from this line on has failed. A dead network is said by name:
# apt and pip go on to report what they then could not find.
reason() {
    local output network='Failed to establish|Temporary failure|Could not resolve|Network is unreachable|timed out'
    output=$(tail -n "+$1" "$log")
    if grep -qE "$network" <<<"$output"; then
        echo "the network or the package registry does not answer"
    else
        grep -m1 -E '^(E:|ERROR:|error:|[A-Za-z.]*Error:)' <<<"$output" || tail -n 1 "$log"
    fi
}

progress() {
    local line shown=$SECONDS
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        if ((SECONDS - shown >= 4)); then
            shown=$SECONDS
            say "  ... ${line:0:90}"
        fi
    done
}

missing_packages() {
    local package
    for package in "${packages[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    done
}

install_packages() {
    command -v dpkg-query >/dev/null || die "this needs Debian or Ubuntu: there is no dpkg here"
    local missing
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || die "must be root to install ${missing[*]} (sudo make ...)"
    start_log
    say "installing system packages: ${missing[*]}"
    logged "install ${missing[*]}" fetch_and_install "${missing[@]}"
}

# A package list that cannot be fetched is no failure by itself: it may be one that is not needed.
fetch_and_install() {
    local apt=(apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2)
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    dpkg --configure -a # in case an earlier run was interrupted
    "${apt[@]}" update || true
    "${apt[@]}" install -y --no-install-recommends "$@"
}

# What the venv was made from. A venv knows its own path, so that is part of it.
venv_key() {
    {
        echo "$root" "$("$python" -V)"
        awk '/^\[/ { keep = /^\[(metadata|options)/ } keep' "$root/setup.cfg"
        cat "$root/pyproject.toml" "$root/scripts/constraints.txt" "${BASH_SOURCE[0]}"
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

start_log() {
    mkdir -p "$root/.cache"
    [[ -w $root/.cache ]] || die "cannot write to $root/.cache: run as its owner or root"
    [[ -n ${log_started:-} ]] || : >"$log"
    log_started=yes
}

# After sudo, what is in the tree still belongs to the owner of the tree.
give_to_owner() {
    ((EUID != 0)) || chown -R --reference="$root" "$venv" "$root/.cache"
}

install_packages
make_venv
