#!/usr/bin/env bash
# The services that the tests need, on loopback: TimescaleDB (127.0.0.1:5433), Mosquitto (127.0.0.1:1883), Chromium.
# Debian 12, root. Safe to run again: what is there stays, what runs is used.
#   deploy/services.sh [start]   install what is missing and start what does not run
#   deploy/services.sh stop      end what this checkout started
#   deploy/services.sh status    say what answers
set -euo pipefail
cd "$(dirname "$0")/.."

home=$PWD/.services
root=$home/timescaledb
data=/var/lib/dubhe
bin=/usr/lib/postgresql/17/bin
timescale_port=5433
mosquitto_port=1883

say() { printf 'services: %s\n' "$*"; }
fail() { printf 'services: %s\n' "$*" >&2; exit 1; }
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
postgres() { chroot "$root" runuser -u postgres -- "$@"; }

install_packages() {
    local missing=()
    command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
    command -v mosquitto >/dev/null || missing+=(mosquitto)
    command -v chromium >/dev/null || missing+=(chromium fonts-wqy-zenhei)
    if ((${#missing[@]})); then
        [[ $(id -u) == 0 ]] || fail "root is needed to install ${missing[*]}: run as root, or install them yourself"
        say "installing ${missing[*]}"
        apt-get update -qq
        # policy-rc.d keeps packages from starting daemons of their own on their default ports
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$home/apt.log" 2>&1 ||
            fail "apt-get could not install ${missing[*]}; $home/apt.log says why"
        rm -f /usr/sbin/policy-rc.d
    fi
}

start_timescaledb() {
    if listens $timescale_port; then
        say "TimescaleDB: something answers on 127.0.0.1:$timescale_port already; using it"
        return
    fi
    if [[ ! -x $root$bin/postgres ]]; then
        say "TimescaleDB: building a Debian 13 root with PostgreSQL 17 (0.5 GB, about half a minute)"
        rm -rf "$root"
        mmdebstrap --quiet --variant=minbase --include=postgresql-17,postgresql-17-timescaledb trixie "$root" >"$home/mmdebstrap.log" 2>&1 ||
            fail "mmdebstrap failed; $home/mmdebstrap.log says why"
    fi
    # nothing is mounted into the root, so that removing a checkout can never reach the machine's own /dev
    mkdir -p "$root$data" && chroot "$root" chown postgres: "$data"
    if [[ ! -s $root$data/data/PG_VERSION ]]; then
        postgres "$bin/initdb" -D $data/data -A trust -U postgres -E UTF8 --locale=C.UTF-8 >/dev/null
        cat >>"$root$data/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $timescale_port
unix_socket_directories = ''
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = 'off'
max_connections = 200
shared_buffers = '512MB'
dynamic_shared_memory_type = 'mmap'
max_wal_size = '4GB'
CONF
    fi
    # a server that was killed leaves its pid file behind; it may name a process of today
    rm -f "$root$data/data/postmaster.pid"
    postgres "$bin/pg_ctl" -D $data/data -l $data/log -w -t 60 start >/dev/null || fail "TimescaleDB did not start; $root$data/log says why"
    say "TimescaleDB: listening on 127.0.0.1:$timescale_port"
}

start_mosquitto() {
    if listens $mosquitto_port; then
        say "Mosquitto: something answers on 127.0.0.1:$mosquitto_port already; using it"
        return
    fi
    mkdir -p "$home/mosquitto"
    cat >"$home/mosquitto/mosquitto.conf" <<CONF
listener $mosquitto_port 127.0.0.1
allow_anonymous true
persistence true
persistence_location $home/mosquitto/
pid_file $home/mosquitto/pid
max_queued_messages 0
user root
CONF
    mosquitto -d -c "$home/mosquitto/mosquitto.conf" >"$home/mosquitto/log" 2>&1
    for _ in {1..50}; do listens $mosquitto_port && break || sleep 0.1; done
    listens $mosquitto_port || fail "Mosquitto did not start; $home/mosquitto/log says why"
    say "Mosquitto: listening on 127.0.0.1:$mosquitto_port"
}

start() {
    mkdir -p "$home"
    install_packages
    start_timescaledb
    start_mosquitto
    say "Chromium: $(chromium --version --no-sandbox 2>/dev/null || echo missing)"
}

stop() {
    if [[ -s $root$data/data/postmaster.pid ]]; then
        postgres "$bin/pg_ctl" -D $data/data -m fast -w stop >/dev/null && say "TimescaleDB: stopped"
    fi
    if [[ -s $home/mosquitto/pid ]]; then
        kill "$(cat "$home/mosquitto/pid")" 2>/dev/null && say "Mosquitto: stopped"
        rm -f "$home/mosquitto/pid"
    fi
}

status() {
    for service in "TimescaleDB $timescale_port" "Mosquitto $mosquitto_port"; do
        read -r name port <<<"$service"
        if listens "$port"; then say "$name: answers on 127.0.0.1:$port"; else say "$name: not running"; fi
    done
}

case ${1:-start} in
    start) start ;;
    stop) stop ;;
    status) status ;;
    *) fail "what is '$1'? start, stop or status" ;;
esac
