#!/bin/sh
# Usage: venv.sh [--optional] DIRECTORY REQUIREMENTS VERSION...
# Makes a virtual environment with the first Python of the given versions that there is: python3, python3.X, pyenv's.
# REQUIREMENTS are files, separated by spaces, to install one after the other.
# With --optional, a missing interpreter is reported and is no failure. PYTHON=/path/to/python overrides the search.
set -eu

optional=no
if [ "$1" = --optional ]; then
    optional=yes
    shift
fi
directory=$1
requirements=$2
shift 2

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

find_python() {
    for wanted in "$@"; do
        [ "$(version_of "${PYTHON:-python3}")" = "$wanted" ] && echo "${PYTHON:-python3}" && return
    done
    for wanted in "$@"; do
        for candidate in "python$wanted" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$wanted".*/bin/python; do
            [ "$(version_of "$candidate")" = "$wanted" ] && echo "$candidate" && return
        done
    done
}

python=$(find_python "$@" || true)
if [ -z "$python" ]; then
    echo "No Python $* found on PATH or in pyenv." >&2
    [ "$optional" = yes ] || exit 1
    echo "The tests that need it are skipped." >&2
    exit 0
fi
echo "Creating $directory with $("$python" --version 2>&1) ..."
rm -rf "$directory"
if ! "$python" -m venv "$directory"; then
    echo "This Python cannot make virtual environments (on Debian: apt-get install python3-venv)." >&2
    exit 1
fi
for file in $requirements; do
    "$directory/bin/python" -m pip install --quiet --disable-pip-version-check -r "$file"
done
touch "$directory/ready"
