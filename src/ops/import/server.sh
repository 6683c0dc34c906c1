# A PostgreSQL server for a moment, on a socket of its own, with nothing to reach.
# $1: data (start a copy of the files in /old) or empty (make a new cluster).
data=/aside/pgdata
say() { echo "$*" >&2; }
fail() {
    say "$*"
    exit 1
}
for bin in $(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V); do
    PATH=$bin:$PATH
done
command -v postgres > /dev/null || fail "the image has no PostgreSQL"
uid=$(id -u postgres) || fail "the image has no user postgres"
gid=$(id -g postgres)
as_postgres() {
    if command -v setpriv > /dev/null; then
        setpriv --reuid="$uid" --regid="$gid" --clear-groups -- "$@"
    elif command -v gosu > /dev/null; then
        gosu postgres "$@"
    else
        su-exec postgres "$@"
    fi
}
mkdir -p "$data" /aside/run
if [ "$1" = data ]; then
    found=
    for place in /old /old/pgdata /old/data /old/*/docker; do
        [ -z "$found" ] && [ -e "$place/PG_VERSION" ] && [ -d "$place/base" ] && found=$place
    done
    [ -n "$found" ] || fail "there is no PostgreSQL data directory, or it cannot be read"
    [ -z "$(ls "$found/pg_tblspc")" ] || fail "it has tablespaces, which lie elsewhere"
    touch /aside/before
    cp -a "$found/." "$data/" || fail "the files could not be copied"
    # A server that writes meanwhile would make the copy one of no moment.
    changed=$(find "$found" -type f -newer /aside/before | head -n 1)
    [ -z "$changed" ] || fail "its files change: a server is using them; stop it, or name its container"
    rm -f "$data/postmaster.pid" "$data/standby.signal" "$data/recovery.signal"
    : > "$data/postgresql.auto.conf"
fi
printf 'local all all trust\n' > /aside/hba.conf
: > /aside/empty.conf
chmod 0700 "$data"
chown -R "$uid:$gid" /aside
# With fsync the copy would be as safe as the original, and slow; it is thrown away.
options="-c config_file=/aside/empty.conf -c hba_file=/aside/hba.conf -c ident_file=/aside/empty.conf
    -c listen_addresses= -c unix_socket_directories=/aside/run -c ssl=off -c fsync=off
    -c dynamic_shared_memory_type=sysv -c max_connections=20 -c lc_messages=C"
if [ "$1" = data ]; then
    ask="COPY (SELECT rolname FROM pg_roles WHERE rolsuper ORDER BY oid LIMIT 1) TO '/aside/superuser'"
    single() {
        echo "$ask" | as_postgres postgres --single -D "$data" $options template1 > /aside/single 2>&1 \
            && [ -s /aside/superuser ]
    }
    if ! single; then
        # A locale that this image lacks: the order of text does not matter to a dump.
        locale=$(sed -n 's/.*initialized with LC_COLLATE "\([A-Za-z0-9_.@-]*\)".*/\1/p' /aside/single | head -n 1)
        if [ -n "$locale" ] && [ -d /usr/lib/locale/C.utf8 ]; then
            normal=$(echo "$locale" | sed 's/UTF-8$/utf8/')
            mkdir -p "/aside/locales/$normal"
            cp -R /usr/lib/locale/C.utf8/. "/aside/locales/$normal/"
            cp -R /usr/lib/locale/C.utf8 /aside/locales/
            export LOCPATH=/aside/locales
            say "the locale $locale is not in the image; C.utf8 stands in for it"
        fi
        single || fail "the old server does not start: $(tail -n 5 /aside/single)"
    fi
else
    as_postgres initdb -D "$data" -U postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync \
        > /aside/single 2>&1 || fail "no cluster can be made: $(tail -n 5 /aside/single)"
    echo postgres > /aside/superuser
fi
if command -v setpriv > /dev/null; then
    exec setpriv --reuid="$uid" --regid="$gid" --clear-groups -- postgres -D "$data" $options
fi
as_postgres postgres -D "$data" $options
