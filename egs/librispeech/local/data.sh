#!/usr/bin/env bash
# Stage 1 of egs/librispeech: Kaldi data directories from LibriSpeech, to train, to choose epochs by, and to score.
set -euo pipefail

# Begin configuration section.
librispeech=""       # directory with the sets in it
corpus=mini          # mini or full
datadir=data         # where the data directories are written
# shellcheck disable=SC2034  # run.sh gives it to every data.sh
nj=2                 # not used: one process is enough
# End configuration section.

# shellcheck disable=SC2034  # read by parse_options.sh
help_message="Usage: local/data.sh --librispeech DIR [options]        (run.sh calls it in stage 1)

  local/data.sh --librispeech /corpora/LibriSpeech --datadir data
  local/data.sh --librispeech /corpora/LibriSpeech --corpus full

Writes DATADIR/{train_5,dev_5,dev_clean_2}, or DATADIR/{train_960,dev,dev_clean,dev_other,test_clean,test_other},
beside the sets that these are made of."
here="$(dirname "${BASH_SOURCE[0]}")"
. "${here}/../../../utils/parse_options.sh"
. "${here}/../path.sh"

fail() {
    echo "local/data.sh: $*" >&2
    exit 1
}
[ $# -eq 0 ] || fail "$1: options begin with -- and take one value"
[ -n "${librispeech}" ] || fail "the corpus is not named: ./run.sh --librispeech DIR, or LIBRISPEECH in db.sh"
[ -d "${librispeech}" ] || fail "--librispeech ${librispeech}: no such directory (a relative path is taken from egs/librispeech)"

case "${corpus}" in
    mini)
        kdasr data librispeech --in "${librispeech}" --out "${datadir}" --sets train-clean-5 dev-clean-2
        # dev_clean_2 is scored, so it does not choose the epochs: every tenth reader of the training set does
        lists="${datadir}/.speakers"
        mkdir -p "${lists}"
        : >"${lists}/train"
        awk -v lists="${lists}" '{ split($1, id, "-"); readers += (id[1] != last); last = id[1]
            print $1 >(lists (readers % 10 == 1 ? "/dev" : "/train")) }' "${datadir}/train_clean_5/spk2utt"
        [ -s "${lists}/train" ] || fail "${librispeech}/train-clean-5: has one reader, and two are needed; unpack it whole"
        for part in train dev; do
            subset_data_dir.py --spk-list "${lists}/${part}" "${datadir}/train_clean_5" "${datadir}/${part}_5"
        done
        rm -r "${lists}"
        ;;
    full)
        kdasr data librispeech --in "${librispeech}" --out "${datadir}" \
            --sets train-{clean-100,clean-360,other-500} {dev,test}-{clean,other}
        combine_data.py "${datadir}/train_960" "${datadir}"/train_{clean_100,clean_360,other_500}
        combine_data.py "${datadir}/dev" "${datadir}/dev_clean" "${datadir}/dev_other"
        ;;
    *) fail "--corpus ${corpus}: expected mini or full" ;;
esac
