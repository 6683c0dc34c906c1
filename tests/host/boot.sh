# Sourced: starting and stopping the host of a state directory.
# shellcheck shell=bash

# The cgroup2 tree, wherever this machine has it.
cgroup2_mount() {
    local fields
    while read -r -a fields; do
        # After a lone dash: the type of file system.
        if [[ " ${fields[*]} " = *" - cgroup2 "* ]]; then
            REPLY=${fields[4]}
            return 0
        fi
    done < /proc/self/mountinfo
    die "this machine has no cgroup2 file system mounted"
}

# The cgroup of the host of state directory $1.
host_cgroup() {
    cgroup2_mount
    REPLY=$REPLY/ragpod-test-${1##*/}
}

# Ends everything in cgroup $1 and removes it.
remove_cgroup() {
    local tries pid
    [ -d "$1" ] || return 0
    for tries in {1..100}; do
        if [ -e "$1/cgroup.kill" ]; then
            echo 1 > "$1/cgroup.kill" || true
        else
            find "$1" -name cgroup.procs -exec cat {} + | while read -r pid; do
                kill -KILL "$pid" 2> /dev/null || true
            done
        fi
        find "$1" -depth -type d -exec rmdir {} + 2> /dev/null || true
        [ -d "$1" ] || return 0
        sleep 0.05
    done
    note "the control group $1 could not be removed"
}

# boot_state STATE ROOTFS: starts the host and waits until its users can work.
boot_state() {
    local state=$1 rootfs=$2 cgroup tries
    host_cgroup "$state"
    cgroup=$REPLY
    # What a killed host left.
    remove_cgroup "$cgroup"
    rm -f "$state/init" "$state/pid"
    mkdir -p "$state"/{upper,work,home,root} "$cgroup"
    # Whoever starts it may go, and be waited for: nothing of it stays open.
    HOST_CACHE=$HOST_CACHE HOST_STATE=$state HOST_ROOTFS=$rootfs HOST_CGROUP=$cgroup \
        setsid --fork unshare --pid --mount --uts --ipc --net --fork --kill-child \
        bash "$HOST_DIR/init.sh" < /dev/null > "$state/boot.log" 2>&1 7>&- 8>&- 9>&-

    for ((tries = 0; tries < 1200; tries++)); do
        if [ -s "$state/init" ]; then
            read -r HOST_PID < "$state/init"
            # Gone, though it had come up.
            start_time "$HOST_PID" || break
            if booted "$cgroup"; then
                echo "$HOST_PID $REPLY $cgroup" > "$state/pid.new"
                mv "$state/pid.new" "$state/pid"
                alive "$state"
                return 0
            fi
        elif ((tries > 200)); then
            break
        fi
        sleep 0.05
    done
    cat "$state/boot.log" >&2
    remove_cgroup "$cgroup"
    die "the host did not come up; what it said is above"
}

# Whether every lingering user of the host has its service manager, its bus and
# its session. Asks the files of the host, which costs nothing; leaves REPLY.
booted() {
    local root=/proc/$HOST_PID/root linger user uid
    [ -S "$root/run/dbus/system_bus_socket" ] || return 1
    for linger in "$root"/var/lib/systemd/linger/*; do
        user=${linger##*/}
        host_user "$user" || continue
        uid=$USER_ID
        [ -S "$root/run/user/$uid/bus" ] && [ -S "$root/run/user/$uid/systemd/private" ] \
            && session_of "$1" "$uid" || return 1
    done
}

# stop_state STATE [SECONDS]: shuts the host down as its user would, and after
# that many seconds as a power cut would. Leaves nothing but the state.
stop_state() {
    local state=$1 patience=${2:-60} tries comm
    host_cgroup "$state"
    if alive "$state"; then
        # No `run` may enter it from here on.
        rm -f "$state/pid"
        # systemd's signal for "power off".
        kill -s RTMIN+4 "$HOST_PID" 2> /dev/null || true
        for ((tries = patience * 20; tries > 0; tries--)); do
            start_time "$HOST_PID" || break
            # When all units are stopped it waits 10 s for processes that are
            # not its own: a zombie, say, that a killed `run` left to the machine.
            { read -r comm < "/proc/$HOST_PID/comm"; } 2> /dev/null || break
            [ "$comm" != systemd-shutdow ] || [ "$tries" -le 40 ] || tries=40
            sleep 0.05
        done
        kill -KILL "$HOST_PID" 2> /dev/null || true
    fi
    host_cgroup "$state"
    remove_cgroup "$REPLY"
    rm -f "$state/pid" "$state/init"
}
