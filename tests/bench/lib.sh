# What the measurements share. Sourced.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/lib.sh

# All of them stop and start whatever runs beside them, so they are taken in the test host alone.
if [ "${RAGPOD_TEST_HOST:-}" = local ] || [ "$(id -u)" != 0 ]; then
    echo "the measurements are taken in the test host, which needs root: sudo make bench" >&2
    exit 3
fi
