#!/usr/bin/env bash
# Stage 1 of egs/an4: Kaldi data directories from AN4.
set -euo pipefail

# Begin configuration section.
an4=""               # directory with AN4's etc/ and wav/ in it
dev_speakers=8       # training speakers held out as dev
datadir=data         # where the data directories are written
# shellcheck disable=SC2034  # run.sh gives it to every data.sh
nj=2                 # not used: one process is enough
# End configuration section.

# shellcheck disable=SC2034  # read by parse_options.sh
help_message="Usage: local/data.sh --an4 DIR [options]        (run.sh calls it in stage 1)

  local/data.sh --an4 ../../../shared/data/an4 --datadir data

Writes DATADIR/{train,dev,test}; dev is held out of train by speaker."
here="$(dirname "${BASH_SOURCE[0]}")"
. "${here}/../../../utils/parse_options.sh"
. "${here}/../path.sh"

fail() {
    echo "local/data.sh: $*" >&2
    exit 1
}
[ $# -eq 0 ] || fail "$1: options begin with -- and take one value"
[ -n "${an4}" ] || fail "the corpus is not named: ./run.sh --an4 DIR, or AN4 in db.sh, with DIR/etc and DIR/wav in it"
[ -d "${an4}" ] || fail "--an4 ${an4}: no such directory (a relative path is taken from egs/an4)"

kdasr data an4 --an4 "${an4}" --out "${datadir}" --dev_speakers "${dev_speakers}"
