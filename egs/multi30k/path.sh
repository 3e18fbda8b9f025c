# Sourced by the recipe: where its programs are, and the settings that all of them share.
# shellcheck shell=bash
KDASR_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
PATH="${KDASR_ROOT}/utils:${PATH}"
if [ -d "${KDASR_ROOT}/tools/venv/bin" ]; then
    PATH="${KDASR_ROOT}/tools/venv/bin:${PATH}" # what tools/install.sh made
fi
export KDASR_ROOT PATH
export LC_ALL=C                  # one sorting order everywhere
export PYTHONIOENCODING=UTF-8    # whatever LC_ALL says
export OMP_NUM_THREADS=1         # processes are the parallelism: threads that wait for each other cost much more
