# Sourced: from nothing, or from a stopped host, to a running one.
# shellcheck shell=bash
# shellcheck source=boot.sh
. "$HOST_DIR/boot.sh"
# shellcheck source=cache.sh
. "$HOST_DIR/cache.sh"
# shellcheck source=program.sh
. "$HOST_DIR/program.sh"

# The keys, of the root file system and of the images, that this checkout asks
# for.
wanted_keys() {
    local rootfs images=none had=
    rootfs_key && rootfs=$REPLY
    [ -z "$HOST_FRESH" ] || { fresh_key && rootfs=$REPLY; }
    if [ "${RAGPOD_TEST_IMAGES:-1}" != 0 ]; then
        images_key && images=$REPLY
    else
        # It may have some without being asked to.
        { read -r _ had < "$HOST_STATE/keys"; } 2> /dev/null || true
        images=${had:-none}
    fi
    REPLY="$rootfs $images"
}

# Boots this checkout's host, building what is missing. $1 = keep: with the
# disk that it has, even when its recipes changed.
start_host() {
    local keep=${1:-} rootfs='' images=''
    # apt's configuration, which mmdebstrap writes, has no way to quote these.
    [[ $HOST_CACHE != *[[:space:]:,\\\"\']* ]] \
        || die "the cache folder $HOST_CACHE has a character in its path that mmdebstrap cannot take; set RAGPOD_TEST_CACHE to another"
    lock_state
    # Somebody else did it meanwhile.
    if ! alive "$HOST_STATE"; then
        { read -r rootfs images < "$HOST_STATE/keys"; } 2> /dev/null || true
        if [ -z "$rootfs" ] || [ "$keep" != keep ]; then
            wanted_keys
            if [ "$rootfs $images" != "$REPLY" ]; then
                [ -z "$rootfs" ] || note "its recipes changed: starting from a pristine one"
                read -r rootfs images <<< "$REPLY"
                pristine "$rootfs" "$images"
            fi
        fi
        ensure_rootfs "$rootfs"
        phase "booting" boot_state "$HOST_STATE" "rootfs/$rootfs"
    fi
    # The lock is no longer needed, and must not pass on to the command.
    exec 8>&-
}

# Gives this checkout's host an empty disk with the images of key $2.
pristine() {
    local rootfs=$1 images=$2
    # What is used here must not be pruned meanwhile.
    mkdir -p "$HOST_CACHE"
    exec 7> "$HOST_CACHE/lock"
    flock --shared 7
    ensure_rootfs "$rootfs"
    [ "$images" = none ] || ensure_images "$images"
    phase "making a new disk" make_disk "$HOST_STATE" "$rootfs" "$images"
    echo "$CHECKOUT" > "$HOST_STATE/checkout"
    # Last: without it the rest counts for nothing.
    echo "$rootfs $images" > "$HOST_STATE/keys"
    prune_cache
}

make_disk() {
    drop_disk "$1"
    new_disk "$@"
}
