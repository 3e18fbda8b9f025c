#!/usr/bin/env bash
# Make tools/venv: everything kdasr runs on. Called by `make`; safe to call again (it then does nothing).
#
#   tools/install.sh              # CPU build of torch where one is at hand, else the registry's default
#   PYTHON=python3.12 tools/install.sh
#   TORCH="torch==2.11.0" tools/install.sh
set -euo pipefail
cd "$(dirname "$0")/.."

# --- configuration -------------------------------------------------------------------------------
PYTHON=${PYTHON:-python3}      # 3.11 or newer
TORCH=${TORCH:-torch==2.13.0}  # the version that the test suite runs with
ROOM=${ROOM:-2500}             # MB that have to be free: what is installed takes 1,700, pip's own files the rest
venv=tools/venv                # made here; nothing outside it is touched
# -------------------------------------------------------------------------------------------------

log() { echo "$(date '+%H:%M:%S') install.sh: $*"; }
fail() { echo "install.sh: $*" >&2; exit 1; }

command -v "$PYTHON" >/dev/null ||
    fail "$PYTHON: no such program; install Python 3.11 or 3.12 (Debian, Ubuntu: apt-get install python3 python3-venv), or name one: PYTHON=/path/to/python3.12 tools/install.sh"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$PYTHON is $("$PYTHON" -V 2>&1), and kdasr needs 3.11 or newer; name one: PYTHON=python3.12 tools/install.sh"

# ESPnet 202511 is the last for Python 3.11; later ones need 3.12.
if "$PYTHON" -c 'import sys; sys.exit(sys.version_info >= (3, 12))'; then ESPNET=${ESPNET:-espnet==202511}; else ESPNET=${ESPNET:-espnet==202611}; fi

# The stamp names what was installed: a changed list installs again.
stamp=$venv/.kdasr-installed
wanted=$("$PYTHON" -V; echo "$TORCH $ESPNET"; cat tools/requirements.txt setup.py tools/install.sh)
if [ -f $stamp ] && [ "$(cat $stamp)" = "$wanted" ]; then
    exit 0
fi

[ -w tools ] || fail "$PWD/tools cannot be written; copy kdasr to a directory of your own, and run make there"
if [ ! -d $venv ]; then
    free=$(df -Pm tools | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$ROOM" ] || fail "$PWD: $free MB are free, and what kdasr runs on takes $ROOM; free some, or copy kdasr to a larger disk"
fi

log "making $venv (about two minutes, once)"
if [ ! -x $venv/bin/python ]; then
    "$PYTHON" -m venv $venv >/dev/null 2>&1 || {
        rm -rf $venv # a half of one would be taken for a whole one
        fail "$PYTHON cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv"
    }
fi
pip_version=$($venv/bin/python -m pip --version 2>/dev/null | awk '{ print $2 }') || true
case ${pip_version%%.*} in
    '' | [0-9] | 1[0-9] | 2[01]) fail "$venv has ${pip_version:+pip }${pip_version:-no pip}, and 22 or newer is needed; rm -r $venv, and run this again" ;;
esac

# Compiling every file of every package to bytecode would double the time; Python does it for those it reads.
pip() {
    local said status=0
    said=$($venv/bin/python -m pip "$@" -qq --disable-pip-version-check --no-input 2>&1) || status=$?
    [ $status -ne 0 ] || return 0
    case "$said" in
        *"No space left on device"* | *"Disk quota exceeded"*)
            fail "no space is left on the disk of $PWD/$venv, or on that of ${TMPDIR:-/tmp}; free $ROOM MB (or set TMPDIR to a directory with room), and run this again" ;;
        *"Read-only file system"* | *"Permission denied"*)
            fail "$PWD/$venv cannot be written; copy kdasr to a directory of your own, and run make there" ;;
        *"onnection"* | *"name resolution"* | *"imed out"* | *"proxy"* | *"unreachable"* | *"from versions: none"*)
            fail "pip does not reach its package index; run this again where there is a network (behind a proxy: export https_proxy=http://HOST:PORT)" ;;
    esac
    echo "$said" >&2
    fail "pip failed, for the reason above; run this again when it is mended"
}
# On a terminal: how much is there already, as pip itself would tell it in a hundred lines.
watch() {
    local began=$SECONDS
    while sleep 2; do
        printf '\r\033[K%s' "         $(du -sm $venv 2>/dev/null | cut -f1) of about 1,700 MB, $((SECONDS - began)) s" >&2
    done
}
watcher=""
unwatch() {
    [ -n "$watcher" ] || return 0
    kill "$watcher" 2>/dev/null || true
    printf '\r\033[K' >&2
    watcher=""
}
trap unwatch EXIT
if [ -t 2 ]; then
    watch &
    watcher=$!
fi

# One call: pip must see torch's pin while it resolves the rest.
pip install --no-compile "$TORCH" -r tools/requirements.txt
# ESPnet's own list cannot be satisfied beside torch 2.13 (its setuptools pin), and most of it is for
# other tasks: kdasr/espnet.py puts stand-ins where recognition does not need a package.
pip install --no-compile --no-deps "$ESPNET"
pip install --no-compile --no-deps --no-build-isolation -e .
unwatch

$venv/bin/python tools/check_install.py --brief
# An ESPnet that cannot be imported should be known now, not in stage 3.
$venv/bin/python -c 'from kdasr.networks.load import register; register()'
printf '%s\n' "$wanted" >$stamp
log "done; activate with: . $venv/bin/activate"
