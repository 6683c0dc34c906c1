# In a container without a network: a server of its own, the dump restored into it, what is there
# printed. Standard input as of restore.sh.
set -o pipefail
umask 077
role=$1 database=$2 restore=$3 extensions=$4 graphs=$5 walk=$6 facts=$7
export POSTGRES_USER=$role POSTGRES_DB=$database POSTGRES_PASSWORD_FILE=/tmp/password
head -c 24 /dev/urandom | base64 > "$POSTGRES_PASSWORD_FILE"
# Nothing here outlives the container: no need to wait for the disk.
ragpod-postgres -c fsync=off -c full_page_writes=off < /dev/null > /tmp/log 2>&1 &
server=$!
until pg_isready -q -h 127.0.0.1 -U "$role" -d "$database"; do
    kill -0 "$server" 2> /dev/null || { cat /tmp/log >&2; exit 1; }
    sleep 0.2
done
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -U postgres -d "$database" -f "$1"; }
sql <(printf '%s' "$extensions") > /dev/null
bash -euc "$restore" restore "$role" "$database" >&2
sql <(printf '%s' "$graphs") > /dev/null
sql <(printf '%s' "$walk") > /dev/null
sql <(printf '%s' "$facts")
