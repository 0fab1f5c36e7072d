# shellcheck shell=bash
# Installing Debian packages with progress and one-line errors: for the scripts that source this.
#
# They say who speaks (`speaker`), what is wanted (`packages`), where the tree is (`root`) and where
# the output of what is run goes (`log`).
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C.UTF-8

# shellcheck disable=SC2154
say() { printf '%s: %s\n' "$speaker" "$*" >&2; }

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
        grep -m1 -E '^(setup: cannot|E:|ERROR:|error:|[A-Za-z.]*Error:)' <<<"$output" || tail -n 1 "$log"
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

start_log() {
    mkdir -p "$root/.cache"
    [[ -w $root/.cache ]] || die "cannot write to $root/.cache: run as its owner or root"
    [[ -n ${log_started:-} ]] || : >"$log"
    log_started=yes
}
