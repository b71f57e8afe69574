#!/usr/bin/env bash
# Install the pinned PyTorch built for CPUs into .venv, and nothing from CUDA; TORCH_INDEX is the index of such builds.
set -euo pipefail
python=.venv/bin/python
pip() { $python -m pip --disable-pip-version-check "$@"; }
version=$(sed -n 's/^torch==//p' constraints.txt)

is_cpu_build() {
    $python - "$version" 2>/dev/null <<'PY'
import sys
from importlib.metadata import version

if version("torch").split("+")[0] != sys.argv[1]:
    sys.exit(1)
import torch

sys.exit(torch.version.cuda is not None)
PY
}

if is_cpu_build; then
    exit 0
fi
echo "Installing the CPU build of PyTorch $version."
wanted="torch==$version"
if [ "$(uname)" = Linux ]; then wanted="$wanted+cpu"; fi # elsewhere every build is for CPUs and has no such label
# No retries: an index that cannot be reached should cost seconds, and pip's own configuration may know of another one.
if ! pip install -qq --no-deps --retries 0 --timeout 20 --index-url "$TORCH_INDEX" "$wanted"; then
    echo "No CPU build of PyTorch $version was found; set TORCH_INDEX to a reachable index that has it." >&2
    exit 1
fi
pip install -qq -c constraints.txt "torch==$version"
if pip list --format freeze | grep -E '^(nvidia-|cuda|triton)'; then
    echo "The packages above belong to CUDA and came in with PyTorch; set TORCH_INDEX to an index of CPU builds." >&2
    exit 1
fi
if ! is_cpu_build; then
    echo "PyTorch $version was installed and does not import; run .venv/bin/python -c 'import torch' to see why." >&2
    exit 1
fi
