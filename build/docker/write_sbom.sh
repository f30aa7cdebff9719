#!/usr/bin/env bash
# Bills of materials (CycloneDX) of the images, as `make sbom` calls it. usage: write_sbom.sh TOOLS FOLDER
# TOOLS has the commands cyclonedx-py, for what the locks name, which is what tests find in the images, and debsbom, for Debian's
# packages, which are asked of the images themselves. DOCKER= is another docker.
set -euo pipefail
tools=$1 folder=$2
cd "$(dirname "$0")/../.."
mkdir -p "$folder"
for image in gateway serve build; do
    case $image in
        gateway) locks=(requirements-gateway.lock) ;;
        serve) locks=(requirements-serve.lock requirements-triton.lock) ;;
        build) locks=(requirements-image.lock requirements-triton.lock requirements-torch-cpu.lock) ;;
    esac
    cat "${locks[@]}" | "$tools/cyclonedx-py" requirements --output-reproducible --pyproject pyproject.toml \
        --output-file "$folder/vfnet-$image.python.cdx.json" -
    container=$(${DOCKER:-docker} create "vfnet-$image:${VFNET_IMAGE_TAG:-0.1.0}")
    ${DOCKER:-docker} export "$container" | "$tools/debsbom" generate --sbom-type cdx --root - --out "$folder/vfnet-$image.debian"
    ${DOCKER:-docker} rm "$container" >/dev/null
done
ls "$folder"
