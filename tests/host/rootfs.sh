#!/usr/bin/env bash
# Builds the root file system of the test host into the directory $1.
#
# Run by cache.sh with the cache's lock held; $1 does not exist yet and is
# renamed into place afterwards, so this may be killed at any point.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=debian.sh
. "$HOST_DIR/debian.sh"
target=$1

options=()
# A mirror of a release that is still being made may be some days behind.
[ "$HOST_SUITE" = "$DEBIAN_SUITE" ] || options=(--aptopt='Acquire::Check-Valid-Until "false"')

# A package's trigger would render and index every manual page at build time;
# `man` finds pages without the index.
debian_bootstrap "$HOST_SUITE" "$HOST_DIR/rootfs.packages" "$target" \
    --format=directory "${options[@]}" \
    --essential-hook='echo man-db man-db/auto-update boolean false | chroot "$1" debconf-set-selections'

# The files that make it a test host, each with its own reason in it.
cp -rT --no-preserve=ownership "$HOST_DIR/rootfs" "$target"

# One identity for all: the journal's directory is named after it. Newer systemd's own
# program for that wants /proc.
tr -d - < /proc/sys/kernel/random/uuid > "$target/etc/machine-id"
chmod 444 "$target/etc/machine-id"

chroot "$target" /bin/bash -euo pipefail -s <<'IN'
# The user that the tests are. useradd also gives it its range in /etc/subuid.
# The home is filled again at each pristine boot, from /etc/skel.
useradd --uid 1000 --create-home --shell /bin/bash rag
install -d /var/lib/systemd/linger /var/log/journal
: > /var/lib/systemd/linger/rag
chgrp systemd-journal /var/log/journal
chmod 2755 /var/log/journal

systemctl set-default multi-user.target

# Nothing here has hardware, a console or a network to wait for; each of these
# costs boot time or fails.
systemctl mask --quiet \
    systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket \
    systemd-udevd-kernel.socket systemd-modules-load.service systemd-sysctl.service \
    systemd-timesyncd.service systemd-pstore.service systemd-binfmt.service \
    systemd-remount-fs.service systemd-firstboot.service systemd-random-seed.service \
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
    sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount tmp.mount \
    proc-sys-fs-binfmt_misc.automount \
    console-getty.service getty.target getty-static.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer man-db.timer systemd-tmpfiles-clean.timer \
    podman.service podman.socket podman-auto-update.timer podman-auto-update.service \
    podman-restart.service podman-clean-transient.service
IN
