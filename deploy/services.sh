#!/usr/bin/env bash
# The services that the tests need, on loopback: TimescaleDB on 127.0.0.1:5433, Mosquitto on 127.0.0.1:1883, and Chromium.
#
#   deploy/services.sh [start]   install what is missing, start what does not run
#   deploy/services.sh stop      end what this checkout started, and nothing else
#   deploy/services.sh status    say what answers; exit status 1 when something does not
#
# For Debian 12 as root, with or without systemd, in or out of CI. Safe to run again: what is there stays. Everything lives in
# .services/ and nothing is mounted there, so removing a checkout is removing a folder. A server of another checkout that answers
# as expected is used as it is. Debian 12 has no TimescaleDB, so PostgreSQL 17 with it runs in a small root of Debian 13.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

home=$PWD/.services
root=$home/timescaledb            # the root of Debian 13
data=/var/lib/dubhe               # seen from inside it
bin=/usr/lib/postgresql/17/bin
packages=(mosquitto chromium fonts-wqy-zenhei mmdebstrap debian-archive-keyring) # the font: Chromium draws 中文 with it
timescaledb_port=5433
mosquitto_port=1883

say() { printf 'services: %s\n' "$*"; }
fail() { say "$@" >&2; exit 1; }
taken() { fail "127.0.0.1:$2 is held by something that does not answer as $1; end it (ss -ltnp 'sport = :$2' names it) and try again"; }
as_postgres() { chroot "$root" runuser -u postgres -- "$@" </dev/null 9>&-; }

start() {
    [[ $EUID == 0 ]] || fail "installing and starting services needs root: sudo make services"
    mkdir -p "$home"
    exec 9>"$home/lock" # held until this script ends; the servers do not inherit it
    flock -n 9 || { say "another run in this checkout is at work; waiting for it"; flock 9; }
    install_packages
    start_timescaledb
    start_mosquitto
    say "Chromium: $(command -v chromium), $(chromium --no-sandbox --version 2>/dev/null | cut -d' ' -f1-2)"
}

stop() {
    local pid
    if pid=$(timescaledb_pid); then
        as_postgres "$bin/pg_ctl" -D "$data/data" -m fast -w -t 60 stop >/dev/null || fail "TimescaleDB (process $pid) did not stop within 60 s"
        say "TimescaleDB: stopped"
    fi
    if pid=$(mosquitto_pid); then
        kill "$pid"
        timeout 30 tail --pid="$pid" -f /dev/null || fail "Mosquitto (process $pid) did not stop within 30 s"
        say "Mosquitto: stopped"
    fi
}

status() {
    local missing=0
    if answers_timescaledb; then say "TimescaleDB: answers on 127.0.0.1:$timescaledb_port$(whose "$(timescaledb_pid)")"
    else say "TimescaleDB: not running; start it with make services"; missing=1; fi
    if answers_mosquitto; then say "Mosquitto: answers on 127.0.0.1:$mosquitto_port$(whose "$(mosquitto_pid)")"
    else say "Mosquitto: not running; start it with make services"; missing=1; fi
    if command -v chromium >/dev/null; then say "Chromium: $(command -v chromium)"
    else say "Chromium: not installed; install it with make services"; missing=1; fi
    return $missing
}

install_packages() {
    local missing=() package
    for package in "${packages[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3 python3-venv) # Debian's own Python comes without; make test needs it
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    apt-get -q update >"$home/apt.log" 2>&1 || fail "apt-get update failed; look at the machine's apt sources and network: $(tail -n 1 "$home/apt.log")"
    # Debian starts a daemon as soon as it is installed, on the port that ours wants; a policy that says no keeps it from that.
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
    fi
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}" </dev/null >>"$home/apt.log" 2>&1 ||
        fail "apt-get install failed; $home/apt.log says why: $(tail -n 1 "$home/apt.log")"
}

# --- TimescaleDB ------------------------------------------------------------------------------------------------------------------

start_timescaledb() {
    if answers_timescaledb; then
        say "TimescaleDB: answers on 127.0.0.1:$timescaledb_port already$(whose "$(timescaledb_pid)"); using it"
        return
    fi
    ! listens $timescaledb_port || taken "PostgreSQL with TimescaleDB for user postgres without a password" $timescaledb_port
    [[ -d $root ]] || build_root
    [[ -d $root$data/data ]] || create_cluster
    # A server that was killed leaves its pid file behind, and the number may be another process by now.
    timescaledb_pid >/dev/null || rm -f "$root$data/data/postmaster.pid"
    as_postgres "$bin/pg_ctl" -D $data/data -l $data/log -w -t 60 start >/dev/null 2>&1 ||
        fail "TimescaleDB did not start; $root$data/log says why: $(tail -n 1 "$root$data/log")"
    say "TimescaleDB: started on 127.0.0.1:$timescaledb_port"
}

build_root() {
    local mirror=()
    say "TimescaleDB: building a root of Debian 13 with PostgreSQL 17 in .services/ (0.5 GB, about half a minute)"
    rm -rf --one-file-system "$root.part"
    # The mirror, the proxy and the strictness of dates are those that the machine's own apt uses.
    # shellcheck disable=SC2016 # apt expands it
    mapfile -t mirror < <(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian')
    apt-config dump --no-empty --format '%F "%v";%n' Acquire | grep -E '::Proxy|::Check-|::Retries|::Verify-|::CaInfo' >"$home/apt.conf" || true
    mmdebstrap --quiet --variant=minbase --include=postgresql-17,postgresql-17-timescaledb --aptopt="$home/apt.conf" \
        trixie "$root.part" "${mirror[@]:0:1}" </dev/null >"$home/mmdebstrap.log" 2>&1 ||
        fail "mmdebstrap failed (in a container it needs the right to mount); $home/mmdebstrap.log says why: $(tail -n 1 "$home/mmdebstrap.log")"
    mv "$root.part" "$root"
}

create_cluster() {
    mkdir -p "$root$data"
    chroot "$root" chown postgres: "$data"
    rm -rf "$root$data/data.part"
    as_postgres "$bin/initdb" -D $data/data.part -A trust -U postgres -E UTF8 --locale=C.UTF-8 >"$home/initdb.log" 2>&1 ||
        fail "initdb failed; $home/initdb.log says why: $(tail -n 1 "$home/initdb.log")"
    cat >>"$root$data/data.part/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $timescaledb_port
unix_socket_directories = ''
max_connections = 200
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = 'off'
shared_buffers = '512MB'
max_wal_size = '4GB'
dynamic_shared_memory_type = 'mmap' # nothing is mounted in this root, /dev/shm neither
CONF
    mv "$root$data/data.part" "$root$data/data"
}

timescaledb_pid() {
    local pid
    pid=$(head -n 1 "$root$data/data/postmaster.pid" 2>/dev/null) && [[ /proc/$pid/root -ef $root ]] && echo "$pid"
}

# One conversation in PostgreSQL's protocol: log in as postgres, ask what is preloaded, leave. Needs no client program.
answers_timescaledb() {
    converse $timescaledb_port '\0\0\0\51\0\3\0\0user\0postgres\0database\0postgres\0\0Q\0\0\0\42SHOW shared_preload_libraries\0X\0\0\0\4' |
        grep -q timescaledb
}

# --- Mosquitto --------------------------------------------------------------------------------------------------------------------

start_mosquitto() {
    if answers_mosquitto; then
        say "Mosquitto: answers on 127.0.0.1:$mosquitto_port already$(whose "$(mosquitto_pid)"); using it"
        return
    fi
    ! listens $mosquitto_port || taken "an MQTT broker that anybody may use" $mosquitto_port
    mkdir -p "$home/mosquitto"
    cat >"$home/mosquitto/mosquitto.conf" <<CONF
listener $mosquitto_port 127.0.0.1
allow_anonymous true
user root
max_queued_messages 0
persistence true
persistence_location $home/mosquitto/
pid_file $home/mosquitto/pid
log_dest file $home/mosquitto/log
CONF
    mosquitto -d -c "$home/mosquitto/mosquitto.conf" </dev/null >"$home/mosquitto/log" 2>&1 9>&-
    for _ in {1..100}; do
        if answers_mosquitto; then
            say "Mosquitto: started on 127.0.0.1:$mosquitto_port"
            return
        fi
        sleep 0.1
    done
    fail "Mosquitto did not start; $home/mosquitto/log says why: $(tail -n 1 "$home/mosquitto/log")"
}

mosquitto_pid() {
    local pid
    pid=$(head -n 1 "$home/mosquitto/pid" 2>/dev/null) && grep -qsF "$home/mosquitto/mosquitto.conf" "/proc/$pid/cmdline" && echo "$pid"
}

# CONNECT of MQTT 3.1.1 and DISCONNECT; a broker that lets us in answers 20 02 00 00.
answers_mosquitto() {
    converse $mosquitto_port '\x10\x0c\0\4MQTT\4\2\0\x3c\0\0\xe0\0' | od -An -tx1 | grep -q '20 02 00 00'
}

# --- Loopback ---------------------------------------------------------------------------------------------------------------------

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Send the bytes to the port (printf's escapes) and print what comes back until the other end closes, at most 5 s.
converse() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    timeout 5 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "$2" >&3 && exec cat <&3' converse "$1" "$2" 2>/dev/null || true
}

whose() { [[ $1 ]] && printf ' (process %s of this checkout)' "$1" || printf ' (not started by this checkout)'; }

case ${1:-start} in
start | stop | status) "${1:-start}" ;;
*) fail "'$1' is none of start, stop, status" ;;
esac
