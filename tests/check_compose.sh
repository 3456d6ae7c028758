#!/bin/sh
# The compose files are valid, and production refuses to start without each of its secrets.
set -eu
cd "$(dirname "$0")/.."
if command -v docker-compose >/dev/null 2>&1; then
    compose=docker-compose
elif docker compose version >/dev/null 2>&1; then
    compose="docker compose"
else
    ./tests/install_servers.sh
    compose=docker-compose
fi
secrets=$(sed -n 's/^\([A-Z_]*\)=$/\1/p' .env.example)
# A developer's own .env must not fill in what is missing.
nothing=$(mktemp)
trap 'rm -f "$nothing"' EXIT
production="$compose --env-file $nothing -f docker-compose.yml -f docker-compose.prod.yml"

for secret in $secrets; do unset "$secret"; done
$compose --env-file "$nothing" -f docker-compose.yml config >/dev/null
for missing in $secrets; do
    settings=""
    for secret in $secrets; do
        [ "$secret" = "$missing" ] || settings="$settings $secret=set"
    done
    # shellcheck disable=SC2086
    if env $settings $production config >/dev/null 2>&1; then
        echo "docker-compose.prod.yml starts without $missing" >&2
        exit 1
    fi
done
settings=""
for secret in $secrets; do settings="$settings $secret=set"; done
# shellcheck disable=SC2086
env $settings $production config >/dev/null
echo "compose files: valid, and production demands its $(echo "$secrets" | wc -l) secrets"
