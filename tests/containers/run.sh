#!/usr/bin/env bash
# What `make test-containers` runs: the tests of this folder at this machine's Docker, or at an engine made for them where it has
# none and Debian's packages can be had. Where neither is so, it says why, and succeeds: nothing was found wrong.
# usage: run.sh PYTHON [options of pytest]; ENGINE_FOLDER= says where the engine is made (default: /var/tmp)
set -euo pipefail
here=$(dirname "$(realpath "$0")")
checkout=$(realpath "$here/../..")
python=$1
shift
scratch=$(mktemp -d "${ENGINE_FOLDER:-/var/tmp}/vfnet-containers.XXXXXX")
stop() {
    [ -z "${VFNET_TEST_ENGINE:-}" ] || "$here/engine.sh" stop "$VFNET_TEST_ENGINE"
    rm -rf "$scratch"
}
trap stop EXIT
if docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    echo "at this machine's own Docker"
else
    wheels=$(for folder in ${PIP_FIND_LINKS:-}; do [ ! -d "$folder" ] || { realpath "$folder"; break; }; done)
    began=$SECONDS
    if "$here/engine.sh" start "$scratch.engine" "$checkout" "$scratch" $wheels; then
        export VFNET_TEST_ENGINE=$scratch.engine
    else
        status=$?
        [ $status = 77 ] || exit $status
        echo "the container tests are skipped"
        exit 0
    fi
    echo "engine made in $((SECONDS - began)) s"
    variables=$("$here/base_images.sh" "$VFNET_TEST_ENGINE") || {
        echo "no base images could be made of Debian's packages: the container tests are skipped"
        exit 0
    }
    export $variables ${wheels:+WHEELS="$wheels"}
    echo "base images made after $((SECONDS - began)) s: $variables"
fi
cd "$checkout"
export VFNET_TEST_CONTAINERS=$scratch
"$python" -m pytest tests/containers --basetemp "$scratch/pytest" --durations 15 "$@"
