#!/bin/sh
# Fills the environment into the templates.
set -e
for template in /etc/nginx/templates/*.template; do
    [ -f "$template" ] || continue
    name=$(basename "$template" .template)
    envsubst "$(printf '${%s} ' $(env | cut -d= -f1))" < "$template" > "/etc/nginx/conf.d/$name"
done
