#!/usr/bin/env bash
# Wall Street Journal: a teacher, its N-best, students. Without discs it makes the synthetic demo corpus, written as
# miniature WSJ discs. The settings are in conf/wsj.conf and conf/mini.conf, the stages in utils/kd.sh.
set -euo pipefail
KDASR_COMMAND="./run.sh${*:+$(printf ' %q' "$@")}"
export KDASR_COMMAND
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./db.sh

# Begin configuration section.
wsj0="${WSJ0}"       # LDC93S6: directory of the discs 11-1.1 ... 11-15.1, or a merged wsj0/ tree (from egs/wsj)
wsj1="${WSJ1}"       # LDC94S13: directory of the discs 13-1.1 ... 13-34.1, or a merged wsj1/ tree
hours=2              # of the demo corpus's training audio, about
datadir=data         # Kaldi data directories
# End configuration section.
help_message="Usage: ./run.sh [options]

  ./run.sh                                        # the synthetic demo corpus; its WERs say nothing about WSJ
  ./run.sh --wsj0 /ldc/LDC93S6B --wsj1 /ldc/LDC94S13B --ngpu 1 --nj 16   # the real discs"
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_partial=true
. ../../utils/parse_options.sh

settings=(--datadir "${datadir}" --nlsyms "${datadir}/nlsyms.txt")
corpus=mini
[ ! -s "${datadir}/corpus" ] || corpus="$(<"${datadir}/corpus")" # written by local/data.sh
if [ -n "${wsj0}${wsj1}" ]; then
    corpus=wsj
    settings+=(--data_opts "--corpus wsj $(printf '%q ' --wsj0 "${wsj0}" --wsj1 "${wsj1}")" --lm_text_opts "$(printf '%q ' --discs "${wsj1}")")
elif [ "${corpus}" = mini ]; then
    settings+=(--data_opts "--corpus mini --hours ${hours}")
    [[ " ${parse_options_rest[*]-}" == *" --help"* ]] ||
        echo "run.sh: the synthetic demo corpus, about ${hours} h: its WERs say nothing about WSJ (the real discs: --wsj0 DIR --wsj1 DIR)"
fi
# students of other networks are fine-tuned with their own configuration
[[ " ${parse_options_rest[*]-}" != *" --student"[_-]"configs "* ]] || settings+=(--fine_tune_configs "")
exec ../../utils/kd.sh --config "conf/${corpus}.conf" "${settings[@]}" "${parse_options_rest[@]}" "$@"
