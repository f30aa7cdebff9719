#!/usr/bin/env bash
# Run the RUN lines of build/docker/Dockerfile without a container engine: in a Debian of the image's release, made with
# debootstrap, as root. Usage: exercise_run_lines.sh [FOLDER for the root, about 3 GB]. Takes minutes; not part of the tests.
# Beyond the lines it checks that the image's user can build, as docker compose has it.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=${1:-/tmp/vfnet-image-root}
dockerfile=build/docker/Dockerfile
release=$(sed -n 's/^ARG PYTHON_TAG=.*-slim-\([a-z]*\)$/\1/p' $dockerfile)

[ -x "$root/usr/bin/apt-get" ] || debootstrap --variant=minbase \
    --include=ca-certificates,python3,python3-pip,python3-venv,libpython3.11 "$release" "$root"
# The image has Python in /usr/local and no guard against pip; Debian's is guarded. Its libpython is where pip's is.
rm -f "$root"/usr/lib/python3.*/EXTERNALLY-MANAGED
ln -sf python3 "$root/usr/bin/python"
for file in /etc/resolv.conf /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
    [ ! -e $file ] || install -D --mode=644 $file "$root$file"
done

# Packages that pip is told to find in a folder here (torch's build for CPUs, say) it finds there too.
for folder in ${PIP_FIND_LINKS:-}; do
    [ ! -d "$folder" ] || { mkdir -p "$root$folder"; cp -ru "$folder/." "$root$folder"; }
done

run() { # the environment that pip is configured with here, if any
    chroot "$root" /usr/bin/env --ignore-environment PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        $(env | grep -E '^(PIP_|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY|SSL_CERT_FILE)' || true) "$@"
}

workdir=/
while IFS= read -r line; do
    word=${line%% *} rest=${line#* }
    case $word in
        WORKDIR) workdir=$rest; mkdir -p "$root$workdir" ;;
        COPY) read -ra paths <<< "$rest"; target=${paths[-1]}; unset 'paths[-1]'
              for path in "${paths[@]}"; do
                  if [ -d "$path" ]; then rm -rf "$root$workdir/$target"; cp -r "$path" "$root$workdir/$target"
                  else cp "$path" "$root$workdir/$target"; fi
              done ;;
        RUN) echo "RUN $rest"; run sh -c "cd $workdir && $rest" ;;
    esac
done < <(sed -e '/^#/d' -e :a -e '/\\$/N; s/\\\n *//; ta' $dockerfile)

mkdir -p "$root/dev/shm" "$root/proc"
echo "as the image's user: vfnet build"
# Unmounted whatever happens: who removes the root must not find the machine's processes in it.
trap 'umount "$root/proc" 2>/dev/null || true' EXIT
mount -t proc proc "$root/proc"
run su vfnet -c 'VFNET_CACHE_DIR=/cache PATH=/usr/local/bin:$PATH vfnet build --repository /repository/vfnet'
echo "done: every RUN line ended well"
