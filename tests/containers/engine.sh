#!/usr/bin/env bash
# A Docker engine with Compose, from Debian 13's packages, for the tests of a machine that has none. Nothing is installed on the
# machine and no registry of images is asked.
#   engine.sh start FOLDER [PATH…]  makes it in FOLDER, which is new; it sees each PATH of this machine under its own name
#   engine.sh run FOLDER COMMAND…   runs a command beside it, as root, in the current folder where that is (in) a PATH
#   engine.sh stop FOLDER           ends it, with all its containers, networks and firewall rules, and removes FOLDER
# It lives in mount and process namespaces of its own, which end with it, and in the network of the machine: what a container
# publishes is reached from here, and what it asks for goes where this machine's requests go.
# Exit status 77 of `start`: none can be made here, and why is on standard error.
set -euo pipefail
action=$1 folder=$(realpath -m "$2")
shift 2
root=$folder/root

init_process() { # of the namespaces: the child of `unshare`, by this machine's number
    ps --ppid "$(cat "$folder/unshare.pid")" -o pid= | tr -d ' '
}

run() {
    exec nsenter --target "$(init_process)" --mount --pid -- /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        DOCKER_HOST=unix:///engine/docker.sock BUILDX_NO_DEFAULT_ATTESTATIONS=1 sh -c 'cd "$1" 2>/dev/null || cd /; shift; exec "$@"' sh "$PWD" "$@"
}

refuse() { # not made here
    echo "no container engine can be made here: $1" >&2
    exit 77
}

start() {
    [ "$(id -u)" = 0 ] || refuse "that takes root"
    [ ! -e "$folder" ] || { echo "$folder is there already: engine.sh stop $folder" >&2; exit 1; }
    unshare --mount --pid --fork true 2>/dev/null || refuse "this account may not make namespaces"
    if ! command -v mmdebstrap >/dev/null; then
        command -v apt-get >/dev/null || refuse "mmdebstrap is needed, and this is no Debian"
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends mmdebstrap; } >&2 || refuse "apt-get cannot install mmdebstrap"
    fi
    mkdir -p "$folder"
    # iproute2 takes the bridges away again; podman runs the pods of the chart.
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,docker.io,docker-cli,docker-compose,docker-buildx,iproute2,iptables,podman,crun,netavark,aardvark-dns,nftables \
        --customize-hook='cp /etc/resolv.conf "$1/etc/resolv.conf"' \
        --customize-hook='cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"' \
        trixie "$root" >"$folder/debian.log" 2>&1 || { tail -n 5 "$folder/debian.log" >&2; rm -rf "$folder"; refuse "Debian 13 could not be had"; }
    mkdir -p "$root/engine" "$root/outside"
    install --mode=755 "$(dirname "$0")/engine_init.sh" "$root/engine/init.sh"
    setsid unshare --mount --pid --fork bash "$root/engine/init.sh" "$root" "$@" >"$folder/engine.log" 2>&1 </dev/null &
    echo $! >"$folder/unshare.pid"
    for _ in $(seq 120); do
        [ -e "/proc/$(cat "$folder/unshare.pid")" ] || break
        ! (run docker version) >/dev/null 2>&1 || return 0
        sleep 0.5
    done
    tail -n 20 "$folder/engine.log" >&2
    stop
    refuse "dockerd does not start"
}

stop() {
    if [ -e "$folder/unshare.pid" ] && [ -e "/proc/$(cat "$folder/unshare.pid")" ]; then
        init=$(init_process)
        kill -TERM "$init" 2>/dev/null || true
        for _ in $(seq 120); do
            [ -e "/proc/$init" ] || break
            sleep 0.5
        done
        kill -KILL "$init" 2>/dev/null || true # and with it whatever is left in its namespace
        while [ -e "/proc/$init" ]; do sleep 0.1; done
    fi
    rm -rf --one-file-system "$folder"
    for group in docker libpod_parent; do find /sys/fs/cgroup -depth -type d -path "*/$group*" -exec rmdir {} + 2>/dev/null || true; done
}

case $action in
    start | run | stop) "$action" "$@" ;;
    *) echo "start, run or stop, not $action" >&2; exit 2 ;;
esac
