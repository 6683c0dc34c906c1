#!/usr/bin/env bash
# Builds the product's three images the way a user does, in a host of its own
# that is thrown away afterwards, and makes its container storage the directory
# $4. $1: the base's tar file, $2: the directory of wheels, $3: the key of the
# root file system.
#
# Run by cache.sh with the cache's lock held; $4 is renamed into place afterwards.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=boot.sh
. "$HOST_DIR/boot.sh"
# shellcheck source=cache.sh
. "$HOST_DIR/cache.sh"
# shellcheck source=program.sh
. "$HOST_DIR/program.sh"
base=$1 wheels=$2 rootfs=$3 target=$4

BASE_IMAGE=localhost/ragpod-test/base:trixie
IMAGES=(localhost/ragpod/{postgres:17,engine:latest,egress:latest})

# program.sh keeps its note there.
HOST_STATE=$target.host
trap 'stop_state "$HOST_STATE" 20; rm -rf "$HOST_STATE"' EXIT
new_disk "$HOST_STATE" "$rootfs" none
boot_state "$HOST_STATE" "rootfs/$rootfs"
put_program
as_user() { (enter rag "$@"); }

# The base, with the wheels and what points pip at them. A tar file can be
# added to (but no name may be in it twice), so it goes in as one layer.
extra=$HOST_STATE/extra
mkdir -p "$extra/usr/share/wheels" "$extra/etc"
cp "$wheels"/*.whl "$extra/usr/share/wheels/"
printf '[global]\nno-index = true\nfind-links = /usr/share/wheels\n' > "$extra/etc/pip.conf"
cp "$base" "$HOST_STATE/base.tar"
tar --append --file "$HOST_STATE/base.tar" --directory "$extra" --owner 0 --group 0 \
    ./usr/share/wheels ./etc/pip.conf
as_user podman import --quiet - "$BASE_IMAGE" < "$HOST_STATE/base.tar"
rm -r "$extra" "$HOST_STATE/base.tar"

as_user ragpod image build --base "$BASE_IMAGE"

# Containers that map users copy an image's layers once for each mapping; what
# every test would wait for is done here, once.
for image in "${IMAGES[@]}"; do
    as_user podman image exists "$image" || die "there is no image $image after ragpod image build"
    as_user podman run --rm --network=none --userns=keep-id:uid=1000,gid=1000 \
        --entrypoint /bin/true "$image"
done
as_user podman pod create --name warm --network=none --userns=keep-id:uid=1000,gid=1000
as_user podman pod rm warm

stop_state "$HOST_STATE"
storage=$HOST_STATE/home/rag/.local/share/containers/storage
# Podman's own database names paths below this user's home, and is made again.
rm -rf "$storage"/db.sql* "$storage/libpod"
mv "$storage" "$target"
