#!/usr/bin/env bash
# Makes the cluster, runs what is to be run in it, and then the command.
set -Eeo pipefail

if [ "$(id -u)" = 0 ]; then
    chown -R postgres:postgres "$PGDATA"
    chmod 700 "$PGDATA"
    exec gosu postgres "$BASH_SOURCE" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --auth=trust --username=postgres > /dev/null
    pg_ctl --options="-c listen_addresses=''" --wait --silent --log=/tmp/log start
    for file in /docker-entrypoint-initdb.d/*.sql; do
        psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username=postgres --file="$file"
    done
    pg_ctl --mode=fast --wait --silent stop
fi
exec "$@"
