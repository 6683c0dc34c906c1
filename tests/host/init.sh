#!/usr/bin/env bash
# The first process of the test host, in fresh namespaces: assembles its file
# system, makes it the root and becomes systemd.
#
# Environment: HOST_CACHE, HOST_STATE, HOST_ROOTFS (below HOST_CACHE),
# HOST_CGROUP.
set -euo pipefail

# Into the group that is to be the root of the host's own tree; a namespace for
# control groups begins where its process is. The `unshare` that waits outside
# stays outside: a group with other processes cannot hand controllers on.
if [ -z "${HOST_INSIDE:-}" ]; then
    echo 0 > "$HOST_CGROUP/cgroup.procs"
    HOST_INSIDE=1 exec unshare --cgroup bash "$0"
fi

# /proc is still the machine's: this is the number that the machine sees.
read -r pid _ < /proc/self/stat

# Relative paths, because a colon or comma in a path means something to
# overlayfs.
cd "$HOST_CACHE"
state=${HOST_STATE#"$HOST_CACHE"/}
root=$HOST_STATE/root
mount -t overlay ragpod-test-host "$root" \
    -o "lowerdir=$HOST_ROOTFS,upperdir=$state/upper,workdir=$state/work"
# Container storage is overlayfs itself, whose writable layer cannot lie on
# another overlayfs. So homes are on the disk.
mount --bind "$HOST_STATE/home" "$root/home"

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
# Read-only: systemd takes that as "these devices belong to somebody else".
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"

mount -t tmpfs -o mode=0755,nosuid tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/net" "$root/dev/mqueue"
mount -t devpts -o newinstance,gid=5,mode=0620,ptmxmode=0666,nosuid,noexec devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
mount -t mqueue -o nosuid,nodev,noexec mqueue "$root/dev/mqueue"
# Nodes of its own, so that their modes are not the machine's.
umask 000
while read -r name major minor; do
    # Where that is not allowed (in a container), the machine's must do.
    mknod -m 0666 "$root/dev/$name" c "$major" "$minor" 2> /dev/null || {
        : > "$root/dev/$name"
        mount --bind "/dev/$name" "$root/dev/$name"
    }
done <<'NODES'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
fuse 10 229
net/tun 10 200
NODES
umask 022
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"

ip link set lo up
echo ragpod-test > /proc/sys/kernel/hostname

exec 3> "$HOST_STATE/init"
cd "$root"
# The old root goes on top of the new one and is let go at once.
pivot_root . .
umount -l .
cd /
# As systemd has it on a real machine; rootless Podman warns otherwise.
mount --make-rshared /
# Now whoever waits for the host may look at it through this process.
echo "$pid" >&3
exec 3>&-
exec /usr/bin/env -i container=ragpod-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd
