#!/usr/bin/env bash
# Put a recent software Vulkan driver (Mesa's lavapipe, from Debian's backports) into a folder; the system keeps its own.
# usage: lavapipe.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
release=bookworm

# shellcheck source=/dev/null
if [ "$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")" != $release ]; then
    echo "SimplerEnv renders on a CPU with Mesa's lavapipe, which is installed here on Debian 12 only; install Mesa 24.3" \
        "or newer and name its driver in VK_ICD_FILENAMES, or use a machine with an NVIDIA GPU." >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/driver"
# shellcheck disable=SC2016 # the names in $() are apt's
mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' | awk -v release=$release '$1 == release { print $2; exit }')
echo "deb ${mirror:-http://deb.debian.org/debian} $release-backports main" >"$work/sources.list"
alone=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User= -o Debug::NoLocking=1)
if ! (cd "$work" && apt-get "${alone[@]}" update && apt-get "${alone[@]}" download mesa-vulkan-drivers) >"$work/log" 2>&1; then
    tail -n 3 "$work/log" >&2
    echo "The package mesa-vulkan-drivers of $release-backports cannot be fetched (above); run this again online." >&2
    exit 1
fi
dpkg-deb -x "$work"/mesa-vulkan-drivers_*.deb "$work/driver"
cp "$(find "$work/driver" -name libvulkan_lvp.so)" "$folder/libvulkan_lvp.so"

if ldd "$folder/libvulkan_lvp.so" | grep -q 'not found' || ! ldconfig -p | grep -q 'libvulkan\.so\.1'; then
    "$here/apt_packages.sh" "Libraries the Vulkan driver needs are missing." libvulkan1 libllvm15 libdrm2 libelf1 \
        libexpat1 libwayland-client0 libx11-xcb1 libxcb1 libxcb-dri3-0 libxcb-present0 libxcb-randr0 libxcb-shm0 \
        libxcb-sync1 libxcb-xfixes0 libxshmfence1 libzstd1 zlib1g
fi
cat >"$folder/lvp_icd.json" <<JSON
{"ICD": {"api_version": "1.4.305", "library_path": "$folder/libvulkan_lvp.so"}, "file_format_version": "1.0.0"}
JSON
