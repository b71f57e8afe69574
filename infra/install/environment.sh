#!/usr/bin/env bash
# Create or refresh .venv with the pinned requirements of some extras; quick, quiet and offline when nothing has changed.
# usage: environment.sh EXTRA[,EXTRA...]
set -euo pipefail
extras=$1
python=.venv/bin/python

usable() { # also false after the checkout was moved: the programs in .venv/bin know where they were
    [ -x $python ] && grep -qF "$(pwd -P)/.venv/bin/python" .venv/bin/pip 2>/dev/null && $python -c '' 2>/dev/null &&
        { [ -z "${PYTHON:-}" ] || [ "$($python -V)" = "$("$PYTHON" -V)" ]; }
}

fingerprint() {
    { cat pyproject.toml constraints.txt && $python -VV; } | cksum
}

installed() {
    for extra in ${extras//,/ }; do
        [ "$(cat ".venv/installed-$extra" 2>/dev/null)" = "$(fingerprint)" ] || return 1
    done
}

if ! usable; then
    base=$(infra/install/find_python.sh)
    rm -rf .venv
    "$base" -m venv .venv
fi
if ! installed; then
    echo "Installing the pinned requirements ($extras) into .venv; the first time this takes a few minutes."
    case ",$extras," in *,train,* | *,simpler,*) infra/install/torch_cpu.sh ;; esac # before anything that would bring a CUDA build
    $python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[$extras]"
    for extra in ${extras//,/ }; do
        fingerprint >".venv/installed-$extra"
    done
fi
