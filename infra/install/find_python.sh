#!/usr/bin/env bash
# Print a Python that this project supports and that can create environments; PYTHON names a preferred one.
set -euo pipefail
required=$(sed -n 's/^requires-python = "\(.*\)"$/\1/p' pyproject.toml)

supported() {
    "$1" - "$required" 2>/dev/null <<'PY'
import re
import sys

low, high = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", sys.argv[1]).groups())
sys.exit(not (sys.version_info[0] == 3 and low <= sys.version_info[1] < high))
PY
}

find_supported() {
    for candidate in "$@"; do
        if supported "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

if [ -n "${PYTHON:-}" ]; then
    if ! found=$(find_supported "$PYTHON"); then
        echo "PYTHON=$PYTHON is not a Python $required; give the path of one." >&2
        exit 1
    fi
elif ! found=$(find_supported python3.11 python3.12 python3.13 python3); then
    infra/install/apt_packages.sh "No Python $required was found." python3 python3-venv
    if ! found=$(find_supported python3); then
        echo "The system's Python is not $required; install such a one and run make PYTHON=/path/of/python." >&2
        exit 1
    fi
fi
if ! "$found" -c 'import ensurepip, venv' 2>/dev/null; then # Debian packs them apart
    version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    infra/install/apt_packages.sh "$found cannot create environments." "python$version-venv"
fi
echo "$found"
