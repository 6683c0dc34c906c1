# The tar on standard input beside what is in the volume.
cd "$1"
rm -rf .ragpod-restoring
mkdir .ragpod-restoring
tar --extract --numeric-owner --same-owner --preserve-permissions --directory=.ragpod-restoring --file=-
sync -f .
