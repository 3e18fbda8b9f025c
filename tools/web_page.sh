#!/usr/bin/env bash
# Make a page that transcribes in the browser: a folder of files for any web server. Audio does not leave the browser.
#
#   tools/web_page.sh student.zip site         # a bundle of `kdasr export`, a zip or a directory
#   tools/web_page.sh student.zip site 8000    # and show it, at http://localhost:8000
#   tools/web_page.sh --fetch                  # only fetch onnxruntime-web, with npm (33 MB, once)
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

# --- configuration -------------------------------------------------------------------------------
PYTHON=${PYTHON:-python3}
VERSION=1.30.0  # of onnxruntime-web
SHA256=d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71  # of its npm package
ORT_WEB=${ORT_WEB:-$here/tools/venv/onnxruntime-web}  # where it is kept
# -------------------------------------------------------------------------------------------------

files=(ort.wasm.min.mjs ort-wasm-simd-threaded.mjs ort-wasm-simd-threaded.wasm)  # what the page needs of it
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() { echo "web_page.sh: $*" >&2; exit 1; }

fetch() {
    [ "$(cat "$ORT_WEB/version" 2>/dev/null)" != $VERSION ] || return 0
    command -v npm >/dev/null || fail "npm is not installed, which fetches onnxruntime-web (Debian: apt-get install npm)"
    (cd "$scratch" && npm pack --silent "onnxruntime-web@$VERSION" >/dev/null) \
        || fail "npm cannot fetch onnxruntime-web $VERSION; run this again where there is a network"
    package=$scratch/onnxruntime-web-$VERSION.tgz
    echo "$SHA256  $package" | sha256sum --check --status || fail "onnxruntime-web $VERSION is not the known file (sha256)"
    tar -xzf "$package" -C "$scratch" "${files[@]/#/package/dist/}"
    mkdir -p "$ORT_WEB"
    mv "${files[@]/#/$scratch/package/dist/}" "$ORT_WEB"
    echo $VERSION >"$ORT_WEB/version"
}

if [ "${1-}" = --fetch ] && [ $# = 1 ]; then
    fetch
    exit 0
fi
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 1
fi
bundle=$1 site=$2 port=${3-}
if [ -n "$port" ]; then
    # as http.server would, and at once
    why=$("$PYTHON" -c 'import socket, sys
try:
    socket.create_server(("localhost", int(sys.argv[1])))
except (OSError, ValueError, OverflowError) as error:
    sys.exit(getattr(error, "strerror", "") or "a number from 1 to 65535 is needed")' "$port" 2>&1) ||
        fail "port $port cannot be used ($why); name another one, as 8001"
fi
[ -e "$bundle" ] || fail "$bundle: no such bundle; make one: kdasr export --model DIR --out $bundle"
if [ -e "$site" ] && [ ! -f "$site/recogniser.js" ]; then
    fail "$site: holds other things than such a page, which would be lost; name another one"
fi
fetch
mkdir "$scratch/site"
cp "$here"/web/* "$scratch/site"
mkdir "$scratch/site/ort"
cp "${files[@]/#/$ORT_WEB/}" "$scratch/site/ort"
if [ -d "$bundle" ]; then
    cp -r "$bundle" "$scratch/site/bundle"
else
    "$PYTHON" -m zipfile -e "$bundle" "$scratch/site/bundle" || fail "$bundle: is no bundle, or was cut; export it again"
fi
[ -f "$scratch/site/bundle/bundle.json" ] || fail "$bundle: is no bundle; make one: kdasr export --model DIR --out NAME.zip"
rm -rf "$site"
mv "$scratch/site" "$site"
echo "$site: a page for any web server"
if [ -n "$port" ]; then
    echo "http://localhost:$port shows it, until you stop this (Ctrl-C)"
    exec "$PYTHON" -m http.server --bind localhost --directory "$site" "$port"
fi
