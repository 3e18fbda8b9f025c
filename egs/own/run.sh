#!/usr/bin/env bash
# Your own corpus, and your own ESPnet model as the teacher if you have one. The settings are in conf/own.conf, the
# stages in utils/kd.sh; docs/own.md is the page to follow.
set -euo pipefail
KDASR_COMMAND="./run.sh${*:+$(printf ' %q' "$@")}"
export KDASR_COMMAND
from="${PWD}" # relative names are the caller's
cd "$(dirname "${BASH_SOURCE[0]}")"

# Begin configuration section.
train=""             # data directory (wav.scp, text, utt2spk) to train on
valid=""             # data directory to choose epochs by
test=""              # data directories to test on
unlabelled=""        # data directory that nobody has transcribed (wav.scp, utt2spk), or a folder of audio files
teacher_dir=""       # a finished ESPnet model directory to use as the teacher, instead of training one
datadir=data         # copies of these directories, which themselves are left alone
# End configuration section.
help_message="Usage: ./run.sh --train DIR --valid DIR --test 'DIR DIR' [--unlabelled DIR] [--teacher_dir DIR] [options]

  ./run.sh --train kaldi/train --valid kaldi/dev --test kaldi/test --unlabelled kaldi/calls
  ./run.sh --stage student --students 'refs word_ctc'   # the directories are not needed any more"
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_partial=true
. ../../utils/parse_options.sh

absolute() { case "$1" in /*) echo "$1" ;; *) echo "${from}/$1" ;; esac; }
settings=(--datadir "${datadir}")
[ -z "${teacher_dir}" ] || settings+=(--teacher_dir "$(absolute "${teacher_dir}")")
if [ -n "${train}${valid}${test}${unlabelled}" ]; then
    opts=(--base "${from}" --train "$(absolute "${train}")" --valid "$(absolute "${valid}")" --test)
    for set in ${test}; do opts+=("$(absolute "${set}")"); done
    [ -z "${unlabelled}" ] || opts+=(--unlabelled "$(absolute "${unlabelled}")")
    settings+=(--data_opts "$(printf '%q ' "${opts[@]}")" --test_sets "$(for set in ${test}; do echo "test_${set##*/}"; done)")
    [ -z "${unlabelled}" ] || settings+=(--unlabelled_set unlabelled --students "refs pseudo_soft")
elif [ -d "${datadir}" ]; then # what an earlier run has copied
    settings+=(--test_sets "$(cd "${datadir}" && echo test_*)")
    [ ! -d "${datadir}/unlabelled" ] || settings+=(--unlabelled_set unlabelled --students "refs pseudo_soft")
fi
exec ../../utils/kd.sh --config conf/own.conf "${settings[@]}" "${parse_options_rest[@]}" "$@"
