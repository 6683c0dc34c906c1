# Nothing of a restore is left beside what is in the volume.
cd "$1"
rm -rf .ragpod-restoring .ragpod-replaced .ragpod-discarded
rm -f .ragpod-mark .ragpod-emptied
