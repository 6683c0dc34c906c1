# What was staged takes the place of what is in the volume. Can be cut off and run again, also when
# an engine ran in between: what that made goes. The mark says that nothing old is left in place.
cd "$1"
[ -e .ragpod-restoring ] || { rm -f .ragpod-mark; exit 0; }
if [ ! -e .ragpod-mark ]; then
    mkdir -p .ragpod-replaced
    while IFS= read -r -d '' name; do
        if [ -e ".ragpod-replaced/$name" ] || [ -L ".ragpod-replaced/$name" ]; then
            rm -rf -- "./$name"
        else
            mv -T -- "./$name" ".ragpod-replaced/$name"
        fi
    done < <(find . -mindepth 1 -maxdepth 1 ! -name '.ragpod-*' -printf '%f\0')
    : > .ragpod-mark
fi
while IFS= read -r -d '' name; do
    rm -rf -- "./$name"
    mv -T -- ".ragpod-restoring/$name" "./$name"
done < <(find .ragpod-restoring -mindepth 1 -maxdepth 1 -printf '%f\0')
rmdir .ragpod-restoring
rm -f .ragpod-mark
sync -f .
