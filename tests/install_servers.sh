#!/usr/bin/env bash
# Installs what the test suite needs and this machine lacks.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: tests/install_servers.sh [--help]

Installs, from the packages of Debian or Ubuntu and as root, what the test suite
needs and this machine lacks: RabbitMQ, Redis, PostgreSQL, PgBouncer, amqp-tools,
docker-compose, curl, faketime, Node.js and npm. Does nothing, and says nothing, if nothing
is missing. No service is started.

A server that the environment gives is not needed:
  AMQP_URI            RabbitMQ
  REDIS_URL           Redis
  TEST_POSTGRES_URL   PostgreSQL

Exit status: 0 everything is there, 1 the installation failed,
2 something is missing and this is not root, or there is no apt-get.
TEXT
}

policy=/usr/sbin/policy-rc.d
policy_is_ours=

on_path() {
    command -v "$1" >/dev/null 2>&1
}

# An ordinary user has no sbin on PATH, and nobody has PostgreSQL's programs there.
is_installed() {
    local candidate
    case $1 in
        rabbitmq-server)
            on_path rabbitmq-server || [[ -x /usr/sbin/rabbitmq-server || -x /usr/lib/rabbitmq/bin/rabbitmq-server ]]
            ;;
        postgresql)
            if on_path initdb && on_path postgres; then
                return 0
            fi
            for candidate in /usr/lib/postgresql/*/bin; do
                if [[ -x $candidate/initdb && -x $candidate/postgres ]]; then
                    return 0
                fi
            done
            return 1
            ;;
        docker-compose)
            on_path docker-compose || { on_path docker && docker compose version >/dev/null 2>&1; }
            ;;
        nodejs) on_path node ;;
        amqp-tools) on_path amqp-consume ;;
        pgbouncer) on_path pgbouncer || [[ -x /usr/sbin/pgbouncer ]] ;;
        *) on_path "$1" ;;
    esac
}

# The Debian packages of what is needed and not there, one a line.
missing_packages() {
    local package
    local needed=(amqp-tools curl docker-compose faketime nodejs npm pgbouncer)
    [[ -n ${AMQP_URI:-} ]] || needed+=(rabbitmq-server)
    [[ -n ${REDIS_URL:-} ]] || needed+=(redis-server)
    [[ -n ${TEST_POSTGRES_URL:-} ]] || needed+=(postgresql)
    for package in "${needed[@]}"; do
        is_installed "$package" || printf '%s\n' "$package"
    done
}

# The tests start servers of their own: the packages must not start theirs.
forbid_services() {
    if [[ ! -e $policy && ! -L $policy ]]; then
        policy_is_ours=yes
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    fi
}

allow_services() {
    if [[ -n $policy_is_ours ]]; then
        rm -f "$policy"
        policy_is_ours=
    fi
}

install_packages() {
    trap allow_services EXIT
    trap 'exit 130' INT
    trap 'exit 143' HUP TERM
    forbid_services || return 1
    export DEBIAN_FRONTEND=noninteractive
    # Another apt-get, such as a new machine's first upgrade, may hold the lock.
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
    "${apt[@]}" update || return 1
    "${apt[@]}" install --yes --no-install-recommends "$@" >/dev/null || return 1
}

main() {
    case ${1:-} in
        '') ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit 1
            ;;
    esac

    local missing
    mapfile -t missing < <(missing_packages)
    if ((${#missing[@]} == 0)); then
        exit 0
    fi
    if ((EUID != 0)) || ! on_path apt-get; then
        printf 'Missing for the tests: %s. Run this script as root on Debian or Ubuntu to install them, or get the servers with "docker compose up" and give their URLs as AMQP_URI, REDIS_URL and TEST_POSTGRES_URL.\n' \
            "${missing[*]}" >&2
        exit 2
    fi
    printf 'Installing %s\n' "${missing[*]}" >&2
    if ! install_packages "${missing[@]}"; then
        printf 'The installation of %s failed.\n' "${missing[*]}" >&2
        exit 1
    fi
    mapfile -t missing < <(missing_packages)
    if ((${#missing[@]} > 0)); then
        printf 'Installed, but still not found: %s\n' "${missing[*]}" >&2
        exit 1
    fi
}

main "$@"
