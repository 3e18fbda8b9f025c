#!/usr/bin/env bash
# Distillation of a recurrent language model with trust regularization (Shi et al. 2019): on Penn Treebank, or, without
# it, on a small text of our own. The stages are in utils/lm.sh.
set -euo pipefail
KDASR_COMMAND="./run.sh${*:+$(printf ' %q' "$@")}"
export KDASR_COMMAND
cd "$(dirname "${BASH_SOURCE[0]}")"

# Begin configuration section.
# The text (a path is taken from egs/ptb)
data=""                 # directory with ptb.train.txt, ptb.valid.txt, ptb.test.txt; without it our own text, made here
sentences=2000          # of our own text to train on
held_out=300            # of our own text to choose the best epoch by, and as many to test on
# What this recipe sets for the stages below
teacher_config=""       # configuration of the teachers; by default conf/teacher.yaml with --data, else conf/small_teacher.yaml
student_config=""       # configuration of the students, likewise
teacher_seeds=""        # a teacher for each; by default the paper's five with --data, else 1 to 4
ce_opts=""              # settings of students on labels alone, who need dropout; by default with --data the teachers', else less of it
stored=""               # words kept of the teachers' distributions, stored once; by default 0 with --data (teachers read along), else all
# End configuration section.

help_message="Usage: ./run.sh [options]

  ./run.sh                                  # our own text: minutes on a CPU
  ./run.sh --data ~/ptb --ngpu 1            # Penn Treebank in Mikolov's form; days on a CPU, a day on a GPU
  ./run.sh --seeds '1 2 3'                  # three students of each objective"
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_partial=true
. ../../utils/parse_options.sh

if [ -n "${data}" ]; then
    size=""
    texts=("${data}/ptb.train.txt" "${data}/ptb.valid.txt" "${data}/ptb.test.txt")
    for file in "${texts[@]}"; do
        [ -f "${file}" ] || { echo "run.sh: ${file}: no such file; --data names a directory in Mikolov's form" >&2; exit 1; }
    done
    note="Penn Treebank."
    seeds_of_teachers="31 37 61 71 83"
    words_stored=0
    dropout="drop_input=0.4 drop_hidden=0.225 drop_output=0.4 drop_latent=0.29 drop_embed=0.1 drop_weight=0.5 activation=2 temporal=1"
else
    size=small_
    texts=(data/text/train.txt data/text/valid.txt data/text/test.txt)
    note="A small text of our own (kdasr data text): these perplexities say nothing about Penn Treebank."
    seeds_of_teachers="1 2 3 4"
    words_stored=all
    dropout="drop_input=0.1 drop_hidden=0.1 drop_output=0.1 drop_embed=0.02 drop_weight=0.2 activation=0.5 temporal=0.5"
    . ./path.sh
    mkdir -p data
    ../../utils/run.py - kdasr data text --out data/text --sentences "${sentences}" --held_out "${held_out}"
fi

exec ../../utils/lm.sh \
    --train "${texts[0]}" --valid "${texts[1]}" --tests "${texts[2]}" \
    --teacher_config "${teacher_config:-conf/${size}teacher.yaml}" \
    --student_config "${student_config:-conf/${size}student.yaml}" \
    --teacher_seeds "${teacher_seeds:-${seeds_of_teachers}}" --stored "${stored:-${words_stored}}" --ce_opts "${ce_opts:-${dropout}}" \
    --dumpdir dump --expdir exp --note "${note}" \
    "${parse_options_rest[@]}" "$@"
