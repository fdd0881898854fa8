#!/bin/sh
# Runs every script of the directory, then the command.
set -e
for script in /docker-entrypoint.d/*.sh; do
    [ -x "$script" ] && "$script"
done
exec "$@"
