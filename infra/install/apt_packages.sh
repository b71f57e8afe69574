#!/usr/bin/env bash
# Install Debian packages where that is allowed, else say which command does it.
# usage: apt_packages.sh WHY PACKAGE...
set -euo pipefail
why=$1
shift

as_root() {
    if [ "$(id -u)" = 0 ]; then env DEBIAN_FRONTEND=noninteractive "$@"; else sudo -n env DEBIAN_FRONTEND=noninteractive "$@"; fi
}

if ! command -v apt-get >/dev/null; then
    echo "$why Install what Debian calls $* and run make again." >&2
    exit 1
fi
by_hand="sudo apt-get update && sudo apt-get install -y $*"
if ! as_root true 2>/dev/null; then
    echo "$why Install it with: $by_hand; then run make again." >&2
    exit 1
fi
echo "$why Installing $*." >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
as_root apt-get update >"$log" 2>&1 || true # a stale index may still hold the packages
if ! as_root apt-get install -y --no-install-recommends "$@" >>"$log" 2>&1; then
    tail -n 5 "$log" >&2
    echo "The packages could not be installed (above); when the machine is online, run: $by_hand; then run make again." >&2
    exit 1
fi
