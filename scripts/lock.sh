#!/bin/sh
# Usage: lock.sh [--check] [BIN]
# Resolves requirements.in into requirements.txt, and requirements-worker.in and -dev.in likewise: every package pinned,
# every wheel with its hash, one file for all supported Pythons and platforms. Versions that are locked stay while
# the .in files allow them; to move one, change its line there, or delete its entry in the .txt file first.
# With --check nothing is written: fails when a lock is out of date, or a platform lacks a wheel. BIN (.venv/bin) holds uv.
# UV_DEFAULT_INDEX names another package index; its address is not written into the files.
set -eu

check=no
if [ "${1:-}" = --check ]; then
    check=yes
    shift
fi
uv=$(cd "${1:-.venv/bin}" && pwd)/uv
pythons="3.11 3.12 3.13 3.14"
platforms="x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# lock NAME: NAME.in into NAME.txt, in the scratch folder. What is there already is kept as far as it fits.
lock() {
    (cd "$work" && "$uv" pip compile "$1.in" --output-file "$1.txt" --quiet --no-config \
        --universal --python-version 3.11 --generate-hashes --only-binary :all: --emit-build-options \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock")
}

cp requirements*.in "$work"
for name in requirements requirements-worker requirements-dev; do
    [ -f "$name.txt" ] && cp "$name.txt" "$work"
    lock "$name"
    if [ "$check" = no ]; then
        cp "$work/$name.txt" .
    elif ! diff -u "$name.txt" "$work/$name.txt"; then
        echo "$name.txt does not follow from $name.in: run \`make lock\` and commit both." >&2
        exit 1
    fi
done

# A package that has no wheel for a supported Python would fail on Azure, after everything here has passed.
for python in $pythons; do
    for platform in $platforms; do
        "$uv" pip install --quiet --no-config --dry-run --require-hashes --target "$work/none" \
            --python-version "$python" --python-platform "$platform" -r "$work/requirements.txt"
    done
done
