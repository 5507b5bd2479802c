# What the scripts that test have in common. To be sourced, from the root of the repository.
# shellcheck shell=bash

ME=setup/$(basename "$0")

say() { printf '%s: %s\n' "$ME" "$*"; }
fail() { say "$*" >&2; exit 1; }

# apt_install PACKAGE…: installs Debian packages, or says what somebody with the right to should install.
apt_install() {
    local become=()
    if ! command -v apt-get >/dev/null; then
        fail "please install what Debian calls: $* (there is no apt-get here to do it)"
    elif [[ $EUID -ne 0 ]]; then
        if ! sudo -n true 2>/dev/null; then
            fail "please run: sudo apt-get install -y $*"
        fi
        become=(sudo -n)
    fi
    say "installing $*"
    "${become[@]}" apt-get update -qq
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# need_cargo: finds cargo where rustup puts it, too.
need_cargo() {
    if ! command -v cargo >/dev/null && [[ -f "$HOME/.cargo/env" ]]; then
        # shellcheck source=/dev/null
        . "$HOME/.cargo/env"
    fi
    command -v cargo >/dev/null || fail "there is no cargo; install Rust first: https://rustup.rs"
}
