#!/usr/bin/env bash
# Install the system libraries that wheels expect, or say how: OSMesa, on which MuJoCo draws without a display or GPU,
# and what OpenCV links to. Says nothing when all are there. MUJOCO_GL=egl (or glfw) does without OSMesa.
set -euo pipefail

if [ "$(uname)" = Darwin ]; then
    if [ "${MUJOCO_GL:-osmesa}" = osmesa ]; then
        echo "macOS has no OSMesa, and needs no other library: recording demonstrations wants MUJOCO_GL=cgl." >&2
    fi
    exit 0
fi

missing=$(
    .venv/bin/python - "${MUJOCO_GL:-osmesa}" <<'PY'
import ctypes
import sys

packages = {"libGL.so.1": "libgl1", "libgthread-2.0.so.0": "libglib2.0-0"}
if sys.argv[1] == "osmesa":
    packages["libOSMesa.so.8"] = "libosmesa6"
for library, package in packages.items():
    try:
        ctypes.CDLL(library)
    except OSError:
        print(package)
PY
)
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # one word a package
    infra/install/apt_packages.sh "System libraries for rendering and video are missing." $missing
fi
