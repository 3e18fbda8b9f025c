#!/usr/bin/env bash
# Stage 1 of egs/wsj: Kaldi data directories from WSJ's discs, or from the synthetic demo corpus, which is made first.
set -euo pipefail

# Begin configuration section.
corpus=mini          # mini or wsj
wsj0=""              # wsj: directory of the discs 11-*, or a merged wsj0/ tree
wsj1=""              # wsj: directory of the discs 13-*, or a merged wsj1/ tree
hours=2              # mini: hours of training audio, about
seed=0               # mini: seed of the corpus
discs=discs          # mini: where its miniature discs are written
datadir=data         # where the data directories are written
nj=2                 # processes
# End configuration section.

# shellcheck disable=SC2034  # read by parse_options.sh
help_message="Usage: local/data.sh [options]        (run.sh calls it in stage 1)

  local/data.sh --corpus mini --hours 2
  local/data.sh --corpus wsj --wsj0 /ldc/LDC93S6B --wsj1 /ldc/LDC94S13B --datadir data

Writes DATADIR/{train_si84,train_si284,test_dev93,test_eval92,...}, DATADIR/nlsyms.txt, and the corpus's
name into DATADIR/corpus."
here="$(dirname "${BASH_SOURCE[0]}")"
. "${here}/../../../utils/parse_options.sh"
. "${here}/../path.sh"

fail() {
    echo "local/data.sh: $*" >&2
    exit 1
}
[ $# -eq 0 ] || fail "$1: options begin with -- and take one value"

case "${corpus}" in
    mini)
        kdasr data mini --out "${discs}" --hours "${hours}" --seed "${seed}" --nj "${nj}"
        found=("${discs}")
        ;;
    wsj)
        if [ -z "${wsj0}" ] || [ -z "${wsj1}" ]; then
            fail "both sets of discs are needed: --wsj0 DIR --wsj1 DIR, or WSJ0 and WSJ1 in db.sh"
        fi
        found=("${wsj0}" "${wsj1}")
        for directory in "${found[@]}"; do
            [ -d "${directory}" ] ||
                fail "${directory}: no such directory (a relative path is taken from egs/wsj); expected WSJ's discs in it"
        done
        ;;
    *) fail "--corpus ${corpus}: expected mini or wsj" ;;
esac

# it looks for discs and merged trees in what it is given
kdasr data wsj --out "${datadir}" "${found[@]}"

# <NOISE> and the like: one token each, and left out of scores
cut -d ' ' -f 2- "${datadir}/train_si284/text" | tr ' ' '\n' | grep '^<.*>$' | sort -u >"${datadir}/nlsyms.txt.tmp" || true
mv "${datadir}/nlsyms.txt.tmp" "${datadir}/nlsyms.txt" # killed in between, it leaves no half of it
echo "${corpus}" >"${datadir}/corpus.tmp"
mv "${datadir}/corpus.tmp" "${datadir}/corpus"
