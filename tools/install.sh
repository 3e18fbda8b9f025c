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
venv=tools/venv                # made here; nothing outside it is touched
# -------------------------------------------------------------------------------------------------

log() { echo "$(date '+%H:%M:%S') install.sh: $*"; }

"$PYTHON" - <<'EOF' || { log "kdasr needs Python 3.11 or newer; name one: PYTHON=python3.12 tools/install.sh" >&2; exit 1; }
import sys
sys.exit(sys.version_info < (3, 11))
EOF

# ESPnet 202511 is the last for Python 3.11; later ones need 3.12.
if "$PYTHON" -c 'import sys; sys.exit(sys.version_info >= (3, 12))'; then ESPNET=${ESPNET:-espnet==202511}; else ESPNET=${ESPNET:-espnet==202611}; fi

# The stamp names what was installed: a changed list installs again.
stamp=$venv/.kdasr-installed
wanted=$("$PYTHON" -V; echo "$TORCH $ESPNET"; cat tools/requirements.txt setup.py tools/install.sh)
if [ -f $stamp ] && [ "$(cat $stamp)" = "$wanted" ]; then
    log "$venv is ready"
    exit 0
fi

log "making $venv (about two minutes)"
[ -x $venv/bin/python ] || "$PYTHON" -m venv $venv || {
    log "python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
# Compiling every file of every package to bytecode would double the time; Python does it for those it reads.
pip() { $venv/bin/python -m pip "$@" -qq --disable-pip-version-check; }

# One call: pip must see torch's pin while it resolves the rest. If the network fails, run this again.
pip install --no-compile "$TORCH" -r tools/requirements.txt
# ESPnet's own list cannot be satisfied beside torch 2.13 (its setuptools pin), and most of it is for
# other tasks: kdasr/espnet.py puts stand-ins where recognition does not need a package.
pip install --no-compile --no-deps "$ESPNET"
pip install --no-compile --no-deps --no-build-isolation -e .

$venv/bin/python tools/check_install.py
# An ESPnet that cannot be imported should be known now, not in stage 3.
$venv/bin/python -c 'from kdasr.networks.load import register; register()'
printf '%s\n' "$wanted" > $stamp
log "done; activate with: . $venv/bin/activate"
