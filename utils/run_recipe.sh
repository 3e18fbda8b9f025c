#!/usr/bin/env bash
# The end of kd.sh and its like: kdasr.recipe makes the plan from their options, and prints, submits or runs it.
# Sourced with the kind of recipe (kd, lm, frames, or a Python file of the recipe's own), once parse_options.sh has set the options; `words` are what the user
# gave, and KDASR_COMMAND, set by a recipe's run.sh, is the command as he wrote it.

fail() {
    echo "${0##*/}: ERROR: $1" >&2
    exit 1
}
for file in path.sh cmd.sh; do
    [ -f "${file}" ] || fail "${file}: not found in ${PWD}; run a recipe's ${program:-./run.sh} in its own directory"
done
# shellcheck disable=SC2154,SC2034  # an option; cmd.sh reads the backend
[ -z "${submit}" ] || cmd_backend="${submit}"
# shellcheck disable=SC1091  # the recipe's
. ./path.sh
# shellcheck disable=SC1091
. ./cmd.sh
export train_cmd decode_cmd cuda_cmd submit_cmd

# the options and their values: those of the configuration section
settings=()
while read -r option; do
    settings+=("${option}=${!option}")
done < <(sed -n '/^# Begin configuration/,/^# End configuration/s/^\([a-z][a-z_]*\)=.*/\1/p' "$0")
command_line="${KDASR_COMMAND:-$0${words[*]:+$(printf ' %q' "${words[@]}")}}"
exec python3 -P -m kdasr.recipe "$1" --program "$0" --command "${command_line}" "${settings[@]}" -- "${words[@]}"
