#!/usr/bin/env bash
# Decode the golden archives on 64-bit ARM, emulated: bash scripts/aarch64.sh [FOLDER] [PATTERN …]
#   FOLDER   where the ARM root, libraries and compiled kernels go, about 1.5 GB; default build/aarch64; kept for the next run
#   PATTERN  which archives, as 'short.*'; default all but those of preset max
# Needs Debian or Ubuntu as root with debootstrap and qemu-user-static. Nothing is installed outside FOLDER and no binary
# format is registered: qemu runs ARM's Python directly. From scratch it takes an hour or so, most of it compiling kernels.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-build/aarch64}")
root=$folder/root site=$folder/site
patterns=("${@:2}")
[ ${#patterns[@]} -gt 0 ] || patterns=('*.fast' '*.independent' '*.continued' '*.none' '*.replay' '*.default')
mkdir -p "$folder"

if [ ! -x "$root/usr/bin/python3.11" ]; then
    debootstrap --arch=arm64 --foreign --variant=minbase --include=python3 bookworm "$root"
    for package in "$root"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
fi
if [ ! -d "$site/torch" ]; then
    platforms=(--platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64)
    "${PYTHON:-python3}" -m pip download -q --no-deps --only-binary=:all: --python-version 3.11 "${platforms[@]}" \
        -d "$folder/wheels" "${NUMPY:-numpy==2.4.*}" "${NUMBA:-numba==0.68.*}" "${LLVMLITE:-llvmlite==0.50.*}" \
        "${TORCH:-torch==2.4.1}" typing-extensions filelock fsspec sympy mpmath networkx jinja2 markupsafe
    for wheel in "$folder"/wheels/*.whl; do "${PYTHON:-python3}" -m zipfile -e "$wheel" "$site"; done
fi

arm() {
    env -u VIRTUAL_ENV PYTHONPATH="$PWD/src:$site" PYTHONNOUSERSITE=1 OMP_NUM_THREADS=1 XDG_CACHE_HOME="$folder/cache" \
        qemu-aarch64-static -L "$root" "$root/usr/bin/python3.11" "$@"
}

echo "== the second decoder, no libraries"
for archive in tests/golden/{short.fast,short.none,colours.fast,stereo.fast}.lmz; do
    arm -S docs/reference_decoder "$archive" | cmp - "${archive%%.*}"
    echo "$(basename "$archive") came back, after $SECONDS s"
done
echo "== numpy and numba, and torch where there is a language model: products as int64"
LMZIP_PRODUCTS=int64 arm tests/golden/check.py "${patterns[@]}"
echo "after $SECONDS s"
echo "== products as float32, and as chosen by the self-test"
LMZIP_PRODUCTS=float32 arm tests/golden/check.py 'short.none' 'short.default'
arm tests/golden/check.py 'short.none' 'short.default'
arm -c 'from lmzip.codec.product import Products; print("chosen:", Products().backend)'
echo "after $SECONDS s, $(times | tail -1 | cut -d" " -f1) of CPU"
