#!/usr/bin/env bash
# AN4: about 50 minutes of real speech (spelled names, addresses, numbers). A teacher, its N-best, students. The
# settings are in conf/an4.conf, the stages in utils/kd.sh.
set -euo pipefail
KDASR_COMMAND="./run.sh${*:+$(printf ' %q' "$@")}"
export KDASR_COMMAND
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./db.sh

# Begin configuration section.
an4="${AN4}"         # directory with AN4's etc/ and wav/ in it (.flac, .wav, .sph or raw big-endian), from egs/an4
dev_speakers=8       # training speakers held out as dev
# End configuration section.
help_message="Usage: ./run.sh --an4 DIR [options]

  ./run.sh --an4 ../../../shared/data/an4
  ./run.sh --stage student --seeds '1 2 3'   # three students of each kind; the corpus is not needed any more"
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_partial=true
. ../../utils/parse_options.sh

settings=()
# students of other networks are fine-tuned with their own configuration
[[ " ${parse_options_rest[*]-}" != *" --student"[_-]"configs "* ]] || settings+=(--fine_tune_configs "")
if [ -n "${an4}" ]; then
    if [ -d "${an4}" ]; then an4="$(cd "${an4}" && pwd)"; fi # one name for one directory, however it was written
    settings+=(--data_opts "$(printf '%q ' --an4 "${an4}" --dev_speakers "${dev_speakers}")")
fi
exec ../../utils/kd.sh --config conf/an4.conf "${settings[@]}" "${parse_options_rest[@]}" "$@"
