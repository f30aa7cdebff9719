#!/usr/bin/env bash
# Stand-ins for the base images where no registry can be reached, from Debian's packages. usage: base_images.sh ENGINE_FOLDER
# prints the variables that have docker compose take them:
#   PYTHON_TAG      Debian 12 with its Python 3.11 (the official image is the same Debian, with a Python of its own in /usr/local)
#   PROMETHEUS_TAG  Debian 12's Prometheus, with promtool
#   TRITON_TAG      what stands for NVIDIA's image, which is Ubuntu 24.04 with Python 3.12: the same Debian 12. Debian has no 3.12
set -euo pipefail
engine() { "$(dirname "$0")/engine.sh" run "$folder" "$@"; }
folder=$1 tag=debian-12 certificates=/etc/ssl/certs/ca-certificates.crt

mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv,libpython3.11,netbase,tzdata \
    --customize-hook='rm "$1"/usr/lib/python3.*/EXTERNALLY-MANAGED && ln -s python3 "$1/usr/bin/python"' \
    --customize-hook="cp $certificates \"\$1$certificates\"" --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
    bookworm - | engine docker import -c "ENV PIP_CERT=$certificates PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore" \
    -c 'CMD ["python3"]' - python:$tag >&2
engine docker tag python:$tag nvcr.io/nvidia/tritonserver:$tag
engine docker build --quiet --tag prom/prometheus:$tag - >&2 <<IN
FROM python:$tag
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus wget \
    && install -d -o 65534 -g 65534 /prometheus && rm -rf /etc/prometheus /var/lib/apt/lists/*
ENTRYPOINT ["/usr/bin/prometheus"]
IN
echo "PYTHON_TAG=$tag PROMETHEUS_TAG=$tag TRITON_TAG=$tag"
