# Sourced: what is built once for all checkouts of this machine, and the disks
# made from it.
# shellcheck shell=bash

# What lies in the images' folders but goes into no image, as arguments of
# `find`: tests, tools, caches.
NO_RECIPE=(! -path '*/tests/*' ! -name lock.sh ! -name '*.pyc' ! -path '*/.*/*')

# A hash over files: their names, modes and contents. Arguments as for `find`.
hash_files() {
    REPLY=$(cd "$CHECKOUT" && {
        find "$@" "${NO_RECIPE[@]}" \( -type f -printf '%p %m\n' -o -type l -printf '%p -> %l\n' \) | LC_ALL=C sort
        find "$@" "${NO_RECIPE[@]}" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum)
    REPLY=${REPLY:0:16}
}

rootfs_key() {
    hash_files tests/host/{rootfs,rootfs.sh,rootfs.packages,debian.sh}
    [ "$HOST_SUITE" = trixie ] || REPLY=$HOST_SUITE-$REPLY
}
base_key() { hash_files tests/host/{base.sh,base.packages,debian.sh}; }
wheels_key() { hash_files tests/host/wheels.sh packaging/images/engine/requirements.lock; }
# The images, which are built in the root file system from all the others.
images_key() {
    local rootfs base
    rootfs_key && rootfs=$REPLY
    base_key && base=$REPLY
    hash_files tests/host/{images.sh,wheels.sh} packaging/images
    REPLY=$(sha256sum <<< "$rootfs $base $REPLY")
    REPLY=${REPLY:0:16}
}

# The root file system for RAGPOD_TEST_FRESH.
fresh_key() {
    hash_files tests/host/{rootfs,fresh.sh,fresh.packages,debian.sh} packaging/deb/control
    REPLY=fresh-$REPLY
}

# cached KIND KEY TEXT COMMAND…: makes $HOST_CACHE/KIND/KEY with COMMAND…, which
# gets the name to make as its last argument, unless it is there. One builder at
# a time; killed half-way, it leaves only something in tmp/ for prune_cache.
cached() {
    local kind=$1 key=$2 text=$3 made=$HOST_CACHE/$1/$2 new
    shift 3
    if [ ! -e "$made" ]; then
        mkdir -p "$HOST_CACHE/$kind" "$HOST_CACHE/tmp"
        exec 9> "$HOST_CACHE/lock-$kind"
        flock 9
        if [ ! -e "$made" ]; then
            new=$HOST_CACHE/tmp/$kind-$key.$$
            phase "$text" logged "$new.log" "$@" "$new" || {
                tail -n 40 "$new.log" | sed 's/^/    /' >&2
                rm -rf "$new" "$new.log"
                die "$text failed; the end of what it said is above"
            }
            rm -f "$new.log"
            mv "$new" "$made"
        fi
        exec 9>&-
    fi
    # For prune_cache: when it was last wanted.
    touch "$made"
}

# Runs a command with all that it says in a file.
logged() {
    local log=$1
    shift
    "$@" > "$log" 2>&1 7>&- 8>&- 9>&-
}

ensure_rootfs() {
    case $1 in
        fresh-*) cached rootfs "$1" "building a fresh Debian" bash "$HOST_DIR/fresh.sh" ;;
        *) cached rootfs "$1" "building the root file system" bash "$HOST_DIR/rootfs.sh" ;;
    esac
}

# What the images are built in and from: needs no program. Sets rootfs, base and wheels, the keys.
ensure_parts() {
    # They are built where Podman is, whatever host they are for.
    rootfs_key && rootfs=$REPLY
    ensure_rootfs "$rootfs"
    base_key && base=$REPLY
    wheels_key && wheels=$REPLY
    cached base "$base" "building the images' base" bash "$HOST_DIR/base.sh"
    cached wheels "$wheels" "fetching the engine's Python packages" bash "$HOST_DIR/wheels.sh"
}

ensure_images() {
    local images=$1 rootfs base wheels
    [ ! -e "$HOST_CACHE/images/$images" ] || {
        touch "$HOST_CACHE/images/$images"
        return 0
    }
    current_program
    ensure_parts
    cached images "$images" "building the images" bash "$HOST_DIR/images.sh" \
        "$HOST_CACHE/base/$base" "$HOST_CACHE/wheels/$wheels" "$rootfs"
}

# drop_disk STATE: throws the writable state away.
drop_disk() {
    rm -f "$1/keys" "$1/program"
    rm -rf "$1"/{upper,work,home}
}

# new_disk STATE ROOTFS IMAGES: an empty writable layer, and homes.
new_disk() {
    local state=$1 rootfs=$2 images=$3
    mkdir -p "$state"/{upper,work,home}
    cp -a "$HOST_CACHE/rootfs/$rootfs/home/." "$state/home/"
    [ "$images" = none ] || copy_storage "$images" "$state/home/rag"
}

# copy_storage IMAGES HOME: container storage with the images, in seconds and
# for next to no space. What lies in layers is never written to in place, so
# those files are hard links; what Podman keeps about them is copied.
copy_storage() {
    local from=$HOST_CACHE/images/$1 into=$2/.local/share/containers/storage file
    [ -d "$into" ] || install -d -m 0700 -o 1000 -g 1000 "$2"/.local{,/share,/share/containers} "$into"
    cp -a --link "$from/overlay" "$into/overlay"
    find "$into/overlay" -maxdepth 2 -type f -print0 | while IFS= read -r -d '' file; do
        cp -a "$file" "$file.copy"
        mv "$file.copy" "$file"
    done
    for file in "$from"/* "$from"/.[!.]*; do
        [ ! -e "$file" ] || [ "${file##*/}" = overlay ] || cp -a "$file" "$into/"
    done
}

# Old builds go, but for the newest two of each kind and what some checkout's
# host is made of; so do hosts whose checkout is gone, and half-made things. The
# caller's shared lock, 7, is made an exclusive one: if that cannot be had at
# once, the next pristine host will prune.
prune_cache() {
    local kind old used state checkout
    flock --nonblock 7 || return 0
    for state in "$HOST_CACHE"/hosts/*/; do
        state=${state%/}
        { read -r checkout < "$state/checkout"; } 2> /dev/null || continue
        if [ ! -e "$checkout/tests/host/run" ]; then
            stop_state "$state" 0
            rm -rf "$state"
        fi
    done
    used=" $(cat "$HOST_CACHE"/hosts/*/keys 2> /dev/null | tr '\n' ' ')"
    for kind in rootfs base wheels images; do
        [ -d "$HOST_CACHE/$kind" ] || continue
        (
            # Nobody is building one.
            exec 9> "$HOST_CACHE/lock-$kind"
            flock --nonblock 9 || exit 0
            # So what is half-made is left from a builder that was killed; its
            # host may still run.
            for old in "$HOST_CACHE/tmp/$kind-"*.host; do
                [ ! -d "$old" ] || stop_state "$old" 0
            done
            rm -rf "$HOST_CACHE/tmp/$kind-"*
            find "$HOST_CACHE/$kind" -mindepth 1 -maxdepth 1 -printf '%T@ %f\n' | sort -rn \
                | tail -n +3 | while read -r _ old; do
                [[ $used = *" $old "* ]] || rm -rf "${HOST_CACHE:?}/$kind/$old"
            done
        )
    done
    exec 7>&-
}
