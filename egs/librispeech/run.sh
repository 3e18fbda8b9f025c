#!/usr/bin/env bash
# LibriSpeech: read books. A teacher, its N-best, students. The settings are in conf/mini.conf (five hours) and
# conf/full.conf (960), the stages in utils/kd.sh.
set -euo pipefail
KDASR_COMMAND="./run.sh${*:+$(printf ' %q' "$@")}"
export KDASR_COMMAND
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./db.sh

# Begin configuration section.
librispeech="${LIBRISPEECH}" # directory with the sets train-clean-5, dev-clean-2, ... in it, from egs/librispeech
corpus=mini          # mini: train-clean-5 and dev-clean-2; full: all 960 hours and the four test sets
# End configuration section.
help_message="Usage: ./run.sh --librispeech DIR [options]

  ./run.sh --librispeech /corpora/LibriSpeech --ngpu 1                 # the mini form
  ./run.sh --librispeech /corpora/LibriSpeech --ngpu 1 --corpus full --nj 16
  ./run.sh --stage student --seeds '1 2 3'   # three students of each kind; the corpus is not needed any more"
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_partial=true
. ../../utils/parse_options.sh

[ -s "conf/${corpus}.conf" ] || { echo "run.sh: --corpus ${corpus}: expected mini or full" >&2; exit 1; }
settings=()
if [ -n "${librispeech}" ]; then
    if [ -d "${librispeech}" ]; then librispeech="$(cd "${librispeech}" && pwd)"; fi # one name for one directory
    settings+=(--data_opts "$(printf '%q ' --librispeech "${librispeech}" --corpus "${corpus}")")
fi
exec ../../utils/kd.sh --config "conf/${corpus}.conf" "${settings[@]}" "${parse_options_rest[@]}" "$@"
