# Sourced by the checks of packages.
# shellcheck shell=bash

# fail TEXT…: ends a check.
fail() {
    echo "packages: $*" >&2
    return 1
}

# same WHAT EXPECTED FOUND: two lists of paths are the same.
same() {
    diff -u --label "expected in $1" --label "found in $1" "$2" "$3" >&2 \
        || fail "$1 has not the files that it should have; they are above"
}
