#!/bin/sh
# Build the image of deploy/Dockerfile without a container engine or a registry, and print where its files are.
#
#   sh deploy/dev/image.sh [FOLDER]          (default: /var/tmp/rowhouse-image)
#
# For a machine that has Debian's packages and a package index, and nothing else: buildah runs the Dockerfile's own
# steps in a chroot, on a base made by debootstrap from Debian 13 in the place of python:3.13-slim-trixie. What differs:
# Python is Debian's 3.13, and there is no isolation of processes and network while it is built. Needs root.
# MIRROR=http://… names another Debian mirror. The machine's certificates and pip's PIP_CONFIG_FILE are shown to the build.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd -P)
work=${1:-/var/tmp/rowhouse-image}
mirror=${MIRROR:-http://deb.debian.org/debian}
name=localhost/rowhouse

say() { printf 'image: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

[ "$(id -u)" = 0 ] || fail "it has to be run by root."
for tool in buildah debootstrap; do
    command -v "$tool" >/dev/null 2>&1 || {
        command -v apt-get >/dev/null 2>&1 || fail "$tool is missing (Debian: apt-get install buildah crun debootstrap)."
        say "installing buildah, crun and debootstrap with apt-get"
        export DEBIAN_FRONTEND=noninteractive
        { apt-get update -q && apt-get install -q -y --no-install-recommends buildah crun debootstrap; } >&2 ||
            fail "they could not be installed."
    }
done

mkdir -p "$work"
builder() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }

if ! builder inspect --type image "$name-base" >/dev/null 2>&1; then
    say "making the base in $work/base"
    rm -rf "$work/base"
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv trixie "$work/base" "$mirror" >&2
    ln -s /usr/bin/python3 "$work/base/usr/local/bin/python"
    rm -rf "$work/base/var/cache/apt" "$work/base/var/lib/apt/lists"
    container=$(builder from scratch)
    builder add --quiet "$container" "$work/base" / >&2
    builder commit --quiet "$container" "$name-base" >&2
    builder rm "$container" >&2
    rm -rf "$work/base"
fi

certificates=/etc/ssl/certs/ca-certificates.crt
set -- --volume "${PIP_CERT:-$certificates}:$certificates:ro"
[ -z "${PIP_CONFIG_FILE:-}" ] || set -- "$@" --volume "$PIP_CONFIG_FILE:/etc/pip.conf:ro"
say "building"
builder build "$@" --isolation chroot --pull=never --file "$root/deploy/Dockerfile" --tag "$name" \
    --ignorefile "$root/.dockerignore" --build-arg "PYTHON=$name-base" "$root" >&2
container=$(builder from --pull=never "$name")
builder mount "$container"
