#!/bin/sh
# Usage: clients.sh [DIRECTORY [PYTHON]]
# Makes an environment in DIRECTORY (.clients) for each client that tests/clients runs against the gateway:
# DIRECTORY/NAME/bin/python with tests/clients/requirements-NAME.txt, and DIRECTORY/javascript with
# tests/clients/package-lock.json, started by DIRECTORY/node/node. What is there and unchanged is left alone.
set -eu

directory=${1:-.clients}
python=${2:-.venv/bin/python}
source=tests/clients

# fresh NAME FILE: whether DIRECTORY/NAME was made from FILE as it is now.
fresh() {
    [ "$(cat "$directory/$1/ready" 2>/dev/null)" = "$(cksum <"$2")" ]
}

# All versions are pinned, so nothing is resolved; few modules are ever imported, so nothing is compiled ahead.
make_python() {
    rm -rf "${directory:?}/$1"
    "$python" -m venv --without-pip "$directory/$1"
    "$python" -m pip --python "$directory/$1/bin/python" install --quiet --disable-pip-version-check \
        --no-deps --no-compile -r "$2"
    cksum <"$2" >"$directory/$1/ready"
}

make_javascript() {
    sh scripts/node.sh "$directory/node" "$python"
    rm -rf "${directory:?}/$1"
    mkdir -p "$directory/$1"
    cp "$source/package.json" "$2" "$directory/$1"
    npm=$(cd "$directory/node" && pwd)/npm
    (cd "$directory/$1" && "$npm" ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error)
    cksum <"$2" >"$directory/$1/ready"
}

mkdir -p "$directory"
jobs=
for requirements in "$source"/requirements-*.txt; do
    name=${requirements#"$source/requirements-"}
    name=${name%.txt}
    fresh "$name" "$requirements" && continue
    echo "Installing the client $name in $directory ..."
    make_python "$name" "$requirements" &
    jobs="$jobs $!"
done
if ! fresh javascript "$source/package-lock.json"; then
    echo "Installing the JavaScript clients in $directory ..."
    make_javascript javascript "$source/package-lock.json" &
    jobs="$jobs $!"
fi
for job in $jobs; do
    wait "$job"
done
