# What was in the volume takes its place again, and nothing of a restore is left. Can be cut off and
# run again, also when an engine ran in between: what that made goes.
cd "$1"
if [ -e .ragpod-replaced ]; then
    if [ ! -e .ragpod-emptied ]; then
        # With the mark, all old files are away; without it, none that is in place is new.
        if [ -e .ragpod-mark ] || [ ! -e .ragpod-restoring ]; then
            find . -mindepth 1 -maxdepth 1 ! -name '.ragpod-*' -exec rm -rf -- {} +
        fi
        : > .ragpod-emptied
    fi
    while IFS= read -r -d '' name; do
        rm -rf -- "./$name"
        mv -T -- ".ragpod-replaced/$name" "./$name"
    done < <(find .ragpod-replaced -mindepth 1 -maxdepth 1 -printf '%f\0')
    rmdir .ragpod-replaced
fi
rm -rf .ragpod-restoring .ragpod-discarded
rm -f .ragpod-mark .ragpod-emptied
sync -f .
