#!/usr/bin/env bash
# Fetches the Python packages that the engine's image installs, for this
# machine's kind of processor, into the directory $1. pip in the base finds
# them by its own configuration, so the image's recipe need not know.
#
# Run by cache.sh with the cache's lock held; $1 is renamed into place afterwards.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
target=$1

python=python3
if ! "$python" -m pip --version > /dev/null 2>&1; then
    # A virtual environment or version manager may have hidden the system's.
    python=/usr/bin/python3
    "$python" -m pip --version > /dev/null 2>&1 \
        || { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y \
            --no-install-recommends python3 python3-pip; } \
        || die "there is no pip, and python3-pip cannot be installed"
fi

arch=$(uname -m)
mkdir "$target"
# The Python of the base, whatever this machine has; the tags are those that
# the lock file was made with.
"$python" -m pip download --disable-pip-version-check --quiet --dest "$target" \
    --require-hashes --no-deps --only-binary=:all: \
    --implementation cp --python-version 3.13 --abi cp313 --abi abi3 --abi none \
    --platform "manylinux_2_34_$arch" --platform "manylinux_2_28_$arch" \
    --platform "manylinux_2_17_$arch" --platform "manylinux2014_$arch" \
    -r "$CHECKOUT/packaging/images/engine/requirements.lock"
chmod 0644 "$target"/*
