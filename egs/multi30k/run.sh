#!/usr/bin/env bash
# Translation: a teacher, what it translates, students (Kim and Rush 2016). Without a corpus it makes sentences of a grammar
# of its own, which have several right translations. The settings are in conf/*.conf, the stages in utils/kd.sh.
set -euo pipefail
KDASR_COMMAND="./run.sh${*:+$(printf ' %q' "$@")}"
export KDASR_COMMAND
cd "$(dirname "${BASH_SOURCE[0]}")"

# Begin configuration section.
data=""              # directory of plain parallel text, a sentence a line: SET.SRC and SET.TGT for each set, or .gz of them
src=en               # language that is read: how the names of its files end
tgt=de               # language that is written
pairs=6000           # without --data: sentences of the grammar to train on
# End configuration section.
help_message="Usage: ./run.sh [options]

  ./run.sh                                             # sentences of a grammar; their BLEU says nothing about languages
  ./run.sh --data ../../../shared/data/multi30k        # Multi30k, English to German
  ./run.sh --data ../../../shared/data/multi30k --students 'refs seq_k1_b5 pseudo' --unlabelled_set captions
  ./run.sh --data /corpora/iwslt14 --src de --tgt en --valid_set valid --test_sets test   # train.de, train.en, ..."
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_partial=true
. ../../utils/parse_options.sh

if [ -n "${data}" ]; then
    [ -d "${data}" ] || { echo "run.sh: ERROR: --data ${data}: no such directory (a relative path is taken from egs/multi30k)" >&2; exit 1; }
    data="$(cd "${data}" && pwd)" # one name for one directory, however it was written
    conf=multi30k name="${data##*/}_${src}-${tgt}"
    name="${name// /_}"
    settings=(--data_opts "$(printf '%q ' --data "${data}" --src "${src}" --tgt "${tgt}")")
else
    conf=pairs name=pairs
    settings=(--data_opts "--pairs ${pairs}")
    [[ " ${parse_options_rest[*]-}" == *" --help"* ]] ||
        echo "run.sh: sentences of a grammar: their BLEU says nothing about languages (a real corpus: --data DIR)"
fi
settings+=(--datadir "data/${name}" --dumpdir "dump/${name}" --expdir "exp/${name}")
# students of other networks are fine-tuned with their own configuration
[[ " ${parse_options_rest[*]-}" != *" --student"[_-]"configs "* ]] || settings+=(--fine_tune_configs "")
exec ../../utils/kd.sh --config "conf/${conf}.conf" "${settings[@]}" "${parse_options_rest[@]}" "$@"
