# Sourced by the commands of this folder: where things are, who is alive.
# Reading it must cost next to nothing: `run` is called for each step of each
# test.
# shellcheck shell=bash

set -euo pipefail
# Scripts must find the machine's own tools, whatever a test did to PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin

note() { echo "test host: $*" >&2; }
die() {
    echo "test host: $*" >&2
    exit 3
}

# phase TEXT COMMAND…: one line on standard error for what takes a while.
phase() {
    local text=$1 start=${EPOCHREALTIME/[.,]/} took
    shift
    printf 'test host: %s … ' "$text" >&2
    if ! "$@"; then
        printf 'failed\n' >&2
        return 1
    fi
    took=$(((${EPOCHREALTIME/[.,]/} - start) / 100000))
    printf '%d.%d s\n' $((took / 10)) $((took % 10)) >&2
}

HOST_DIR=${BASH_SOURCE[0]%/*}
[[ $HOST_DIR = /* ]] || HOST_DIR=$PWD/$HOST_DIR
CALLER_DIR=$PWD
cd -P "$HOST_DIR/../.."
CHECKOUT=$PWD
cd "$CALLER_DIR"
HOST_DIR=$CHECKOUT/tests/host

HOST_CACHE=${RAGPOD_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/ragpod-test-host}
HOST_BIN=${RAGPOD_BIN:-$CHECKOUT/target/release/ragpod}
[[ $HOST_BIN = /* ]] || HOST_BIN=$CALLER_DIR/$HOST_BIN

# The release of Debian that the host is; the images' base is always the same.
HOST_SUITE=${RAGPOD_TEST_SUITE:-trixie}
[[ $HOST_SUITE =~ ^[a-z]+$ ]] || die "RAGPOD_TEST_SUITE is the name of a release of Debian, not $HOST_SUITE"

# Each checkout has a host of its own, one for each release.
host_of=$CHECKOUT
[ "$HOST_SUITE" = trixie ] || host_of+=" $HOST_SUITE"
read -r checkout_hash _ < <(sha256sum <<< "$host_of")
HOST_STATE=$HOST_CACHE/hosts/${checkout_hash:0:16}
# A machine that has nothing of what ragpod needs, beside the other one.
HOST_FRESH=${RAGPOD_TEST_FRESH:-}
[ -z "$HOST_FRESH" ] || HOST_STATE+=-fresh

need_root() {
    [ "$EUID" = 0 ] || die "needs root, for namespaces with a whole Debian in them (sudo -E ${0##*/} …), or RAGPOD_TEST_HOST=local to use this machine itself"
}

# The start time of process $1 in $REPLY: with it a number names a process for
# good.
start_time() {
    local stat
    { read -r stat < "/proc/$1/stat"; } 2> /dev/null || return 1
    # The name in parentheses may hold anything.
    stat=${stat##*) }
    # shellcheck disable=SC2086
    set -- $stat
    [ "$1" != Z ] || return 1
    REPLY=${20}
}

# Whether the host of state directory $1 runs; then its init's number is in
# HOST_PID and its control group's directory in HOST_CGROUP.
alive() {
    local pid start cgroup
    HOST_PID='' HOST_CGROUP=''
    { read -r pid start cgroup < "$1/pid"; } 2> /dev/null || return 1
    start_time "$pid" && [ "$REPLY" = "$start" ] || return 1
    HOST_PID=$pid HOST_CGROUP=$cgroup
}

# One at a time for each checkout. The lock is this process's, and children
# that outlive it must be started with 8>&-.
lock_state() {
    mkdir -p "$HOST_STATE"
    exec 8> "$HOST_STATE/lock"
    flock 8
}

# USER_ID and USER_HOME of user $1 of the running host.
host_user() {
    local name id home
    while IFS=: read -r name _ id _ _ home _; do
        if [ "$name" = "$1" ]; then
            USER_ID=$id USER_HOME=$home
            return 0
        fi
    done < "/proc/$HOST_PID/root/etc/passwd"
    return 1
}

# The lasting session of user number $2 in the control group tree $1.
session_of() {
    local scope
    for scope in "$1/user.slice/user-$2.slice"/session-*.scope; do
        # The last session may just be ending.
        { read -r _ < "$scope/cgroup.procs"; } 2> /dev/null || continue
        SESSION=$scope
        return 0
    done
    return 1
}

# enter USER COMMAND…: becomes a command of a user of the running host.
enter() {
    local user=$1 environment
    shift
    host_user "$user" || die "the host has no user $user"
    environment=(
        "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
        "HOME=$USER_HOME" "USER=$user" "LOGNAME=$user" SHELL=/bin/bash LANG=C.UTF-8
        "TERM=${TERM:-dumb}"
    )
    if [ "$user" != root ]; then
        # What is started belongs to the user's session, as after a login.
        session_of "$HOST_CGROUP" "$USER_ID" || die "$user has no session in the host"
        echo "$BASHPID" > "$SESSION/cgroup.procs"
        environment+=(
            "XDG_RUNTIME_DIR=/run/user/$USER_ID"
            "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$USER_ID/bus"
        )
    fi
    if [ -t 0 ] && [ -t 1 ] && [ -t 2 ]; then
        # This terminal is unknown in there (and its process group has no
        # number), so that job control and whoever asks for its name would
        # fail: `script` makes one that is the host's own and passes all on.
        local line
        printf -v line '%q ' "$@"
        set -- script --quiet --return --log-out /dev/null --command "exec $line"
    fi
    # A session of its own, so that whoever signals its process group does not
    # signal the tests; and when the caller is killed, the command is ended.
    exec nsenter --target "$HOST_PID" --mount --uts --ipc --net --pid --cgroup \
        --wd="/proc/$HOST_PID/root$USER_HOME" \
        env -i "${environment[@]}" \
        setsid setpriv --reuid "$user" --regid "$user" --init-groups --pdeathsig TERM \
        "$@"
}
