# A volume as a tar on standard output. Standard input: names that stay out, each ended by a NUL.
set -o pipefail
export LC_ALL=C
cd "$1"
declare -A out=()
while IFS= read -r -d '' name; do out[$name]=1; done
exec 3>&1
code=0
said=$({
    find . -path './.ragpod-*' -prune -o ! -type s -print0 |
        while IFS= read -r -d '' name; do
            [ -n "${out[$name]+x}" ] || printf '%s\0' "$name"
        done |
        tar --create --numeric-owner --no-recursion --null --files-from=- >&3
} 2>&1) || code=$?
[ "$code" -ne 0 ] || exit 0
# A file that goes away, grows or shrinks meanwhile is no error: the engine is at work. One that
# cannot be read is.
fine='(: No such file or directory|: File removed before we read it|: file changed as we read it'
fine+='|: File shrank by [0-9]+ bytes?; padding with zeros|: Exiting with failure status due to previous errors)$'
said=$(grep -Ev "$fine" <<< "$said" || true)
[ -z "$said" ] && [ "$code" -le 2 ] || { echo "$said" >&2; exit "$code"; }
