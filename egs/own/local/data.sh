#!/usr/bin/env bash
# Stage 1 of egs/own: copies of the data directories that are named.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../path.sh"

datadir=data
nj=()
words=()
while [ $# -gt 0 ]; do # kd.sh's own options; all others are those of kdasr data own
    case "$1" in
        --datadir) datadir="$2" && shift 2 ;;
        --nj) nj=(--nj "$2") && shift 2 ;;
        *) words+=("$1") && shift ;;
    esac
done
if [ ${#words[@]} -eq 0 ]; then
    echo "local/data.sh: no data directories; name them: ./run.sh --train DIR --valid DIR --test DIR" >&2
    exit 1
fi
kdasr data own "${words[@]}" "${nj[@]}" --out "${datadir}"
