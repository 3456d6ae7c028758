#!/bin/bash
# A role and a database for each service, neither of which can open the other's. Run by the official PostgreSQL image on
# an empty data folder, and by the service `roles` at every start: then the passwords are set to what they are by now.
# They come from POSTGRES_PASSWORD, AUTH_DATABASE_PASSWORD and MOVIES_DATABASE_PASSWORD.
set -euo pipefail

as_superuser() {
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" "$@"
}

# create NAME PASSWORD: a role, and a database that is its own. The password travels by the environment and psql
# quotes it, so it may hold anything and no process list shows it.
create() {
    ROLE_PASSWORD="$2" as_superuser --dbname=postgres --set=name="$1" <<'SQL'
\getenv password ROLE_PASSWORD
SELECT format('CREATE ROLE %I LOGIN', :'name') WHERE to_regrole(:'name') IS NULL
\gexec
ALTER ROLE :"name" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'name')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name')
\gexec
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
}

as_superuser --dbname=postgres --set=name="${POSTGRES_USER:-postgres}" <<'SQL'
\getenv password POSTGRES_PASSWORD
ALTER ROLE :"name" PASSWORD :'password';
SQL
create auth "${AUTH_DATABASE_PASSWORD:?is not set}"
create movies "${MOVIES_DATABASE_PASSWORD:?is not set}"

# Every role may connect to these by default.
as_superuser --dbname=postgres --command='REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC'
# What search needs. Made here so that movies finds them there whatever its role may create.
as_superuser --dbname=movies --command='CREATE EXTENSION IF NOT EXISTS pg_trgm'
as_superuser --dbname=movies --command='CREATE EXTENSION IF NOT EXISTS fuzzystrmatch'
