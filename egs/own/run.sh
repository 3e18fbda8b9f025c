#!/usr/bin/env bash
# Your own corpus, and your own ESPnet model as the teacher if you have one. The settings are in conf/own.conf, the
# stages in utils/kd.sh; docs/your-model-and-corpus.md is the page to follow.
set -euo pipefail
KDASR_COMMAND="./run.sh${*:+$(printf ' %q' "$@")}"
export KDASR_COMMAND
from="${PWD}" # relative names are the caller's
cd "$(dirname "${BASH_SOURCE[0]}")"

# Begin configuration section.
train=""             # data directory (wav.scp, text, utt2spk) to train on; with --teacher_dir and --unlabelled it may be left out
valid=""             # data directory to choose epochs by; left out with --train, a share of --unlabelled
test=""              # data directories to test on
unlabelled=""        # data directory that nobody has transcribed (wav.scp, utt2spk), or a folder of audio files
cut_seconds=""       # what is longer in --unlabelled is cut at pauses, into so many seconds at most; without it more than 40 are refused
transcribed=1        # share of --train taken as transcribed, as in 0.6; the rest is audio alone, in place of --unlabelled
teacher_dir=""       # a finished ESPnet model directory to use as the teacher, instead of training one
audio_opts=""        # "--resample" converts other rates, "--channel 2" takes one of several
datadir=data         # copies of these directories, which themselves are left alone
# End configuration section.
help_message="Usage: ./run.sh --train DIR --valid DIR --test 'DIR DIR' [--unlabelled DIR] [--teacher_dir DIR] [options]

  ./run.sh --train kaldi/train --valid kaldi/dev --test kaldi/test --unlabelled kaldi/calls
  ./run.sh --teacher_dir /models/asr --unlabelled recordings --cut_seconds 20 --test kaldi/test   # no transcripts
  ./run.sh --stage student --students 'refs word_ctc'   # later: the data directories are not needed; give --teacher_dir again if you did"
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_partial=true
. ../../utils/parse_options.sh

absolute() { case "$1" in /*) echo "$1" ;; *) echo "${from}/$1" ;; esac; }
settings=(--datadir "${datadir}")
[ -z "${teacher_dir}" ] || settings+=(--teacher_dir "$(absolute "${teacher_dir}")")
# students of other networks are fine-tuned with their own configuration
[[ " ${parse_options_rest[*]-}" != *" --student"[_-]"configs "* ]] || settings+=(--fine_tune_configs "")
[ -z "${audio_opts}" ] || settings+=(--audio_opts "${audio_opts}")
[ "${transcribed}" = 1 ] || settings+=(--transcribed "${transcribed}" --students "refs pseudo_soft oracle")
named="" # of the two sets to learn from those that there are: named now, or copied by an earlier run
if [ -n "${train}${valid}${test}${unlabelled}" ]; then
    opts=(--base "${from}")
    for set in train valid unlabelled; do
        [ -n "${!set}" ] || continue
        opts+=("--${set}" "$(absolute "${!set}")")
        named+=" ${set}"
    done
    [ -z "${cut_seconds}" ] || opts+=(--cut_seconds "${cut_seconds}")
    for word in ${audio_opts}; do opts+=("${word}"); done
    opts+=(--test)
    for set in ${test}; do opts+=("$(absolute "${set}")"); done
    settings+=(--data_opts "$(printf '%q ' "${opts[@]}")" --test_sets "$(for set in ${test}; do echo "test_${set##*/}"; done)")
elif [ -d "${datadir}" ]; then
    for set in train unlabelled; do [ ! -d "${datadir}/${set}" ] || named+=" ${set}"; done
    settings+=(--test_sets "$(cd "${datadir}" && echo test_*)")
fi
case "${named} " in
    *" train "*"unlabelled "*) settings+=(--unlabelled_set unlabelled --students "refs pseudo_soft") ;;
    *" unlabelled "*) settings+=(--train_set "" --unlabelled_set unlabelled --students pseudo_soft) ;;
esac
exec ../../utils/kd.sh --config conf/own.conf "${settings[@]}" "${parse_options_rest[@]}" "$@"
