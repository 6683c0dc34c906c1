#!/usr/bin/env bash
# Writes requirements.lock from requirements.in: everything that the client needs, with the hashes
# of all builds. Run it with Python 3.11, the oldest that the tests are run with; needs PyPI.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pip-tools==7.6.2
CUSTOM_COMPILE_COMMAND=lock.sh "$work/venv/bin/pip-compile" --quiet --generate-hashes \
    --no-emit-find-links --no-emit-index-url --strip-extras --output-file requirements.lock requirements.in
