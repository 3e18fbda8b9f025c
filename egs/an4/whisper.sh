#!/usr/bin/env bash
# The half of AN4 that counts as untranscribed, labelled by Whisper: N-best archives that conf/students/whisper*.yaml
# learn from, and a table of what normalisation and filters did to them (docs/hypotheses.md).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "${here}"

# Begin configuration section.
python=""            # of an environment with faster-whisper and a model (tools/label_whisper.py --help)
nbest=5              # hypotheses an utterance
results=LABELS_WHISPER.md # the table
# End configuration section.
# shellcheck disable=SC2034  # read by parse_options.sh
help_message="Usage: ./whisper.sh --python whisper_venv/bin/python [options]   (after ./run.sh --an4 DIR --stop_stage 3)

  ./whisper.sh --python ~/whisper_venv/bin/python
  ./run.sh --stage student --students 'refs pseudo oracle whisper whisper_plain' --seeds '1 2 3'"
. ../../utils/parse_options.sh
. ./path.sh

fail() {
    echo "whisper.sh: $*" >&2
    exit 1
}
[ $# -eq 0 ] || fail "$1: options begin with -- and take one value"
[ -n "${python}" ] || fail "--python: name that of an environment with faster-whisper (tools/label_whisper.py --help)"
unlab=dump/fbank/train_sp_unlab0.5
lab=dump/fbank/train_sp_lab0.5
tokens=dump/tokens/char
for needed in "${unlab}/wav.scp" "${lab}/text" "${tokens}/tokens.txt"; do
    [ -s "${needed}" ] || fail "${needed}: is not there; run ./run.sh --an4 DIR --stop_stage 3 first"
done
out=exp/whisper
mkdir -p "${out}"

# What Whisper is told came before: eleven of the transcripts that we have, words in small letters, letters in capitals.
style="$(awk '$1 !~ /^sp/ && ++n % 40 == 20 {
    text = ""
    for (i = 2; i <= NF; i++) text = text (i > 2 ? " " : "") (length($i) > 1 ? tolower($i) : $i)
    printf "%s%s.", (n > 20 ? " " : ""), text
}' "${lab}/text")"
label() { "${python}" "${KDASR_ROOT}/tools/label_whisper.py" --data "${unlab}" --beam "${nbest}" --nbest "${nbest}" "$@"; }
[ -s "${out}/plain.jsonl" ] || label --out "${out}/plain.jsonl"
[ -s "${out}/prompted.jsonl" ] || label --out "${out}/prompted.jsonl" --spell_numbers --prompt "${style}"

# archive NAME LINES STEPS
archive() {
    [ -s "${out}/$1/summary.json" ] && return
    kdasr nbest import --format jsonl --in "${out}/$2" --normalize "$3" --max_unknown 100 --data "${unlab}" \
        --tokens "${tokens}" --out "${out}/$1"
}
archive nbest_plain_raw plain.jsonl ""
archive nbest_plain_letters plain.jsonl punctuation,case
archive nbest_plain_digits plain.jsonl punctuation,digits,case
archive nbest_plain plain.jsonl punctuation,digits,initials,case
archive nbest_raw prompted.jsonl ""
archive nbest_letters prompted.jsonl punctuation,case
archive nbest prompted.jsonl punctuation,digits,initials,case

# measure NAME ARCHIVE OPTIONS...: hypotheses that filters leave, against the transcripts that nobody else sees
rows=()
measure() {
    local name="$1" archive="$2" targets
    shift 2
    targets="${out}/measured/$((${#rows[@]} + 1))"
    rm -rf "${targets}"
    kdasr targets --nbest "${out}/${archive}" --tokens "${tokens}" --against dump/fbank/train_sp/text \
        --out "${targets}" "$@" >"${targets}.log" || fail "$(cat "${targets}.log")"
    rows+=("${name}=${targets}")
}
all="--max_repeat 1000 --min_frames 0" # no filter
mkdir -p "${out}/measured"
# shellcheck disable=SC2086  # several words
{
    measure "Whisper as it writes" nbest_plain_raw ${all}
    measure "+ punctuation, case" nbest_plain_letters ${all}
    measure "+ digits" nbest_plain_digits ${all}
    measure "+ initials" nbest_plain ${all}
    measure "Whisper without digits, shown our style" nbest_raw ${all}
    measure "+ punctuation, case" nbest_letters ${all}
    measure "+ initials" nbest ${all}
}
measure "+ filters that are always on" nbest
measure "+ \`--min_token_score -0.3\`" nbest --min_token_score -0.3
measure "or \`--min_token_score -0.15\`" nbest --min_token_score -0.15
measure "or \`--max_frames 40\`" nbest --max_frames 40
measure "or \`--agree\` with Whisper as it writes, normalised" nbest --agree "${out}/nbest_plain" --max_disagreement 20
"${KDASR_ROOT}/tools/labels_table.py" "${rows[@]}" --out "${results}" --title "Whisper's labels of AN4" \
    --command "./whisper.sh --python whisper_venv/bin/python" --note "The half of the training audio that counts as \
untranscribed, with its copies at other speeds, labelled by Whisper tiny.en (faster-whisper, beam ${nbest}). A row with + \
adds a step of \`--normalize\`, or a filter, to the row above; one with \"or\" has another filter in its place."
