#!/usr/bin/env bash
# AN4: about 50 minutes of real speech (spelled names, addresses, numbers). A teacher, its N-best,
# students. The stages are in utils/kd.sh.
set -euo pipefail
KDASR_COMMAND="./run.sh${*:+$(printf ' %q' "$@")}"
export KDASR_COMMAND
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./db.sh

# Begin configuration section.
# The corpus (a path is taken from egs/an4)
an4="${AN4}"         # directory with AN4's etc/ and wav/ in it (.flac, .wav, .sph or raw big-endian)
dev_speakers=8       # training speakers held out as dev
# What this recipe sets for the stages below
speed=0.9,1.0,1.1    # speed factors of the training audio: 50 minutes of speech are few
transcribed=0.5      # share of the training audio taken as transcribed; the rest serves as untranscribed audio
teacher_config=conf/teacher.yaml  # configuration of the teacher
student_configs=conf/student.yaml # configurations of the students
tune_configs=""      # of students that go on from another; empty: conf/tune.yaml, of other networks the student's
lm_ce_opts="drop_input=0.1 drop_hidden=0.1 drop_output=0.1 drop_embed=0.02 drop_weight=0.2 activation=0.5 temporal=0.5" # of students on labels alone
lm_stored=all        # the language model teachers' distributions, stored once
# End configuration section.

help_message="Usage: ./run.sh --an4 DIR [options]

  ./run.sh --an4 ../../../shared/data/an4
  ./run.sh --stage student --seeds '1 2 3'   # three students of each kind; the corpus is not needed any more"
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_partial=true
. ../../utils/parse_options.sh

[ "${student_configs}" != conf/student.yaml ] || tune_configs="${tune_configs:-conf/tune.yaml}"
data_opts=""
if [ -n "${an4}" ]; then
    # one name for one directory, however it was written
    if [ -d "${an4}" ]; then an4="$(cd "${an4}" && pwd)"; fi
    data_opts="$(printf '%q ' --an4 "${an4}" --dev_speakers "${dev_speakers}")"
fi

exec ../../utils/kd.sh \
    --data_opts "${data_opts% }" \
    --train_set train \
    --valid_set dev \
    --test_sets test \
    --speed "${speed}" \
    --transcribed "${transcribed}" \
    --teacher_config "${teacher_config}" \
    --student_configs "${student_configs}" \
    --tune_configs "${tune_configs}" \
    --lm_ce_opts "${lm_ce_opts}" \
    --lm_stored "${lm_stored}" \
    "${parse_options_rest[@]}" "$@"
