# Files of a volume that hold one of the texts on standard input, each ended by a NUL.
export LC_ALL=C
cd "$1"
exec 3>&1
code=0
said=$(grep --recursive --files-with-matches --fixed-strings --null --text --file=- . 2>&1 >&3) || code=$?
[ "$code" -gt 1 ] || exit 0
# What goes away meanwhile is no error: the engine is at work.
said=$(grep -v ': No such file or directory$' <<< "$said" || true)
[ -z "$said" ] || { echo "$said" >&2; exit "$code"; }
