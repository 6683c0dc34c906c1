#!/usr/bin/env bash
# Builds the base of the three images as a tar file, $1: a Debian that has
# everything their recipes would otherwise fetch, because nothing can be
# fetched from inside the test host.
#
# Run by cache.sh with the cache's lock held; $1 is renamed into place afterwards.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=debian.sh
. "$HOST_DIR/debian.sh"
target=$1

# Left out: what an image does not need (as the slim images that users pull
# do), and PostgreSQL's just-in-time compiler, which is two thirds of its size
# and off in the product's configuration. PostgreSQL takes its absence well.
#
# The server's package would make a cluster of its own; a file that is there
# first stops it.
debian_bootstrap "$DEBIAN_SUITE" "$HOST_DIR/base.packages" "$target" \
    --format=tar \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/i18n/*' \
    --dpkgopt='path-exclude=/usr/share/squid-langpack/*' \
    --dpkgopt='path-include=/usr/share/squid-langpack/en/*' \
    --dpkgopt='path-include=/usr/share/squid-langpack/templates/*' \
    --dpkgopt='path-exclude=/usr/lib/postgresql/*/lib/bitcode/*' \
    --dpkgopt='path-exclude=/usr/lib/postgresql/*/lib/llvmjit.so' \
    --dpkgopt='path-exclude=/usr/lib/*/libLLVM*' \
    --dpkgopt='path-exclude=/usr/lib/llvm-*' \
    --dpkgopt='path-exclude=/usr/lib/*/libz3.so*' \
    --essential-hook='mkdir -p "$1/etc/postgresql-common"' \
    --essential-hook='echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"' \
    --customize-hook='rm -rf "$1"/var/log/*.log "$1"/var/log/apt'
