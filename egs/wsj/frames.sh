#!/usr/bin/env bash
# Framewise acoustic models of the corpus that run.sh prepared, distilled from an ensemble (Hinton, Vinyals and Dean
# 2015). The stages are in utils/frames.sh.
set -euo pipefail
KDASR_COMMAND="./frames.sh${*:+$(printf ' %q' "$@")}"
export KDASR_COMMAND
cd "$(dirname "${BASH_SOURCE[0]}")"

# Begin configuration section.
datadir=data         # Kaldi data directories, of run.sh
train_set=train_si284              # set to learn from
valid_set=test_dev93               # set to choose epochs and weights by
test_sets="test_eval92"            # sets to predict, decode and score
aligner=""           # ESPnet model with a CTC branch; if none is named, run.sh's teacher of this corpus
score_opts="--wsj_filter"          # Kaldi's filter of WSJ transcripts before scoring
# End configuration section.

help_message="Usage: ./frames.sh [options]

  ./run.sh --stop_stage 3 && ./frames.sh --nj 2"
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_partial=true
. ../../utils/parse_options.sh

corpus_note=""
teacher=exp/teacher_wsj_rnn_s1
if [ -s "${datadir}/corpus" ] && [ "$(<"${datadir}/corpus")" = mini ]; then
    corpus_note="Synthetic demo corpus (espeak-ng, in WSJ's disc layout): these figures say nothing about WSJ."
    teacher=exp/teacher_mini_s1
fi

exec ../../utils/frames.sh \
    --datadir "${datadir}" \
    --train_set "${train_set}" \
    --valid_set "${valid_set}" \
    --test_sets "${test_sets}" \
    --aligner "${aligner:-${teacher}}" \
    --score_opts "${score_opts}" \
    --nlsyms "${datadir}/nlsyms.txt" \
    --corpus_note "${corpus_note}" \
    "${parse_options_rest[@]}" "$@"
