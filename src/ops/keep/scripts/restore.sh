# In the database's container: a dump into a database that has its extensions.
# Standard input: the length of the list in bytes, a newline, the list, the dump.
set -o pipefail
role=$1 database=$2
list=$(mktemp)
trap 'rm -f "$list"' EXIT
read -r length
head -c "$length" > "$list"
# Owners and rights are the instance's own; what is not complete is nothing.
code=0
pg_restore --username=postgres --dbname="$database" --no-owner --no-privileges --no-comments \
    --role="$role" --exit-on-error --single-transaction --use-list="$list" || code=$?
# Podman drops what a program has printed when it leaves input unread.
cat > /dev/null
exit "$code"
