#!/usr/bin/env bash
# The first process of the engine's namespaces, started by engine.sh: enters the root, runs dockerd until SIGTERM, and takes away
# what dockerd leaves in the machine's network. usage: engine_init.sh ROOT [PATH…]
set -euo pipefail
root=$1
shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
for path in "$@"; do
    mkdir -p "$root$path"
    mount --bind "$path" "$root$path"
done
# dockerd pivots its containers' roots, which takes a root that is a mount point, as after pivot_root; not a chroot.
cd "$root"
pivot_root . outside
hash -r
mount -t proc proc /proc
umount --lazy /outside
mount -t tmpfs tmpfs /run # a file system of its own, or containers' mounts are not seen
ln -s /engine/docker.sock /run/docker.sock # where podman looks for images

forward=/proc/sys/net/ipv4/ip_forward forwarded=$(cat /proc/sys/net/ipv4/ip_forward)
ip -o link show type bridge | cut -d ' ' -f 2 >/engine/bridges
for rules in iptables ip6tables; do $rules-save >/engine/$rules; done

give_back() { # tables that were not there are emptied, the others are as they were
    for rules in iptables ip6tables; do
        { $rules-save | sed -n 's/^\*filter$/*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT/p; t; s/^\*.*/&\nCOMMIT/p'; cat /engine/$rules; } | $rules-restore
    done
    for bridge in $(ip -o link show type bridge | cut -d ' ' -f 2 | grep -vxFf /engine/bridges); do
        ip link delete "${bridge%:}"
    done
    echo "$forwarded" >"$forward"
}

dockerd --host unix:///engine/docker.sock --pidfile /engine/dockerd.pid &
dockerd=$!
trap 'kill -TERM $dockerd' TERM
while kill -0 $dockerd 2>/dev/null; do wait $dockerd || true; done
give_back
