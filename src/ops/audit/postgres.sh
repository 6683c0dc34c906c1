# The database's own claims. $1 is a password that is not the role's.
ask() { timeout 5 psql -X -A -t -w -U "$1" -d "$POSTGRES_DB" -c "$2" 2>&1 | tail -n 1; }
echo "role $(ask "$POSTGRES_USER" "select 'super=' || rolsuper || ' createrole=' || rolcreaterole
    || ' createdb=' || rolcreatedb || ' replication=' || rolreplication
    || ' bypassrls=' || rolbypassrls from pg_roles where rolname = current_user")"
export PGHOST=127.0.0.1 PGCONNECT_TIMEOUT=3 PGPASSWORD=$1
echo "wrong-password $(ask "$POSTGRES_USER" "select 'let in'")"
echo "superuser $(ask postgres "select 'let in'")"
unset PGPASSWORD
echo "no-password $(ask "$POSTGRES_USER" "select 'let in'")"
