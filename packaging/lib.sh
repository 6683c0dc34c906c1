# Sourced by the builders of packages.
# shellcheck shell=bash

# What fails in $(…) fails there, too.
shopt -s inherit_errexit
# What is packaged has the same modes, whoever builds it.
umask 022
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# Of the package, not of what is in it.
revision=${REVISION:-1}
maintainer='the ragpod authors <ragpod@example.invalid>'
# The time that everything in a package has: the last commit's, or that of the files of the tarball.
[ -n "${SOURCE_DATE_EPOCH:-}" ] || if [ -e .git ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
else
    SOURCE_DATE_EPOCH=$(stat -c %Y CHANGELOG.md)
fi
export SOURCE_DATE_EPOCH
out=target/packages
mkdir -p "$out"

need() {
    command -v "$1" > /dev/null && return
    echo "$1 is missing; install it, for example: sudo apt install $2" >&2
    exit 3
}

# The program without debug information: BINARY, or else what packaging/compile makes.
stripped() {
    local program=${BINARY:-}
    need strip binutils
    # `|| return`: where this is called in a condition bash does not end it by itself.
    [ -n "$program" ] || program=$(packaging/compile) || return
    strip --strip-unneeded --remove-section=.comment -o "$out/ragpod" "$program" || return
    echo "$out/ragpod"
}
