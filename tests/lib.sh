# What the scripts of this folder share: timed phases, and where instances run.
# shellcheck shell=bash

# since START: the time since $EPOCHREALTIME was START, as "1.23 s".
since() {
    awk -v a="${1/,/.}" -v b="${EPOCHREALTIME/,/.}" 'BEGIN { printf "%.2f s", b - a }'
}

# phase WHAT CMD…: runs a command, says what it is and how long it took.
phase() {
    local what=$1 start=$EPOCHREALTIME code
    shift
    printf '\033[1m== %s\033[0m\n' "$what" >&2
    # A shell of its own, and no `||` beside it: either would switch `set -e` off inside.
    set +e
    (set -e && "$@")
    code=$?
    set -e
    printf '\033[2m== %s: %s, %s\033[0m\n' "$what" \
        "$([ "$code" = 0 ] && echo done || echo "FAILED ($code)")" "$(since "$start")" >&2
    return "$code"
}

# Whether rootless instances can run on this machine as this user.
able() {
    local version
    [ "$(id -u)" != 0 ] || return 1
    version=$(podman --version 2>/dev/null | grep -oE '[0-9]+' | head -n 1) || return 1
    [ "${version:-0}" -ge 5 ] && systemctl --user show-environment >/dev/null 2>&1
}

# Sets RAGPOD_TEST_HOST: local where this machine can run instances, and the test host elsewhere, or
# where a release of Debian is asked for.
choose_host() {
    if [ -z "${RAGPOD_TEST_HOST:-}${RAGPOD_TEST_SUITE:-}" ] && able; then
        export RAGPOD_TEST_HOST=local
    fi
    if [ "${RAGPOD_TEST_HOST:-}" != local ] && [ "$(id -u)" != 0 ]; then
        echo "this machine has no Podman 5 with a user session; the test host needs root: sudo make …" >&2
        return 3
    fi
}

# Makes that place ready; in the test host, with the images of the recipes as they are now.
host_ready() {
    if [ "${RAGPOD_TEST_HOST:-}" = local ]; then
        in_host ragpod doctor --quiet
    else
        tests/host/ready
    fi
}

# in_host CMD…: runs a command where instances run.
in_host() {
    tests/host/run -- "$@"
}

# What to type before a command so that it runs there.
host_hint() {
    [ "${RAGPOD_TEST_HOST:-}" = local ] && echo "PATH=target/release:\$PATH" || echo "tests/host/run --"
}
