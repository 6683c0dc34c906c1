#!/usr/bin/env bash
# Builds a Debian as its installer leaves it, with nothing of what ragpod needs,
# into the directory $1; for RAGPOD_TEST_FRESH. What ragpod's package depends on
# and recommends lies in apt's cache there, with apt's lists, because nothing
# can be fetched from inside the host.
#
# Run by cache.sh with the cache's lock held; $1 does not exist yet and is
# renamed into place afterwards, so this may be killed at any point.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=debian.sh
. "$HOST_DIR/debian.sh"
target=$1

# A package with nothing but those wishes, so that apt chooses what it will choose for the real one.
wishes=$(mktemp -d)
trap 'rm -rf "$wishes"' EXIT
mkdir -p "$wishes/tree/DEBIAN"
sed -e 's/@LIBRARIES@/libc6, libgcc-s1/' -e 's/@VERSION@/0/' -e '/@SIZE@/d' \
    -e "s/@ARCHITECTURE@/$(dpkg --print-architecture)/" -e 's/@MAINTAINER@/test/' \
    "$CHECKOUT/packaging/deb/control" > "$wishes/tree/DEBIAN/control"
dpkg-deb --build "$wishes/tree" "$wishes/ragpod.deb"
# shellcheck disable=SC2016 # mmdebstrap's shell expands it.
debian_bootstrap "$DEBIAN_SUITE" "$HOST_DIR/fresh.packages" "$target" \
    --variant=important --format=directory \
    --essential-hook='echo man-db man-db/auto-update boolean false | chroot "$1" debconf-set-selections' \
    --skip=cleanup/apt/lists,cleanup/apt/cache \
    --customize-hook='APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get install --yes --quiet --download-only -o APT::Install-Recommends=true '"$wishes/ragpod.deb"

cp -rT --no-preserve=ownership "$HOST_DIR/rootfs" "$target"
# Nobody is logged in, and nobody lingers, before the test says so.
rm "$target/etc/systemd/system/multi-user.target.wants/login@rag.service"
# apt would ask about a file that a package brings as well.
install -D "$target"/etc/containers/containers.conf \
    "$target"/etc/containers/containers.conf.d/test-host.conf
rm "$target/etc/containers/containers.conf"
# What mmdebstrap wrote for its own use.
rm -f "$target/etc/apt/apt.conf.d/99mmdebstrap"

chroot "$target" /bin/bash -euo pipefail -s <<'IN'
useradd --uid 1000 --create-home --shell /bin/bash rag
systemd-machine-id-setup
systemctl set-default multi-user.target
# Nothing here has hardware, a console or a network to wait for.
for unit in $(systemctl list-unit-files --no-legend --state=enabled,static 'systemd-udev*' \
    'systemd-modules-load*' 'systemd-sysctl*' 'systemd-timesyncd*' 'systemd-pstore*' \
    'systemd-binfmt*' 'systemd-remount-fs*' 'systemd-firstboot*' 'systemd-random-seed*' \
    'sys-*.mount' 'dev-*.mount' tmp.mount '*.automount' '*getty*' 'apt-*.timer' \
    'dpkg-*.timer' 'e2scrub*' 'fstrim*' 'networking*' 'ifup*' | cut -d' ' -f1); do
    case $unit in *@.*) ;; *) systemctl mask --quiet "$unit" ;; esac
done
IN
