#!/usr/bin/env bash
# Wall Street Journal: a teacher, its N-best, students. Without discs it makes the embedded corpus, a
# small synthetic one written as miniature WSJ discs. The stages are in utils/kd.sh.
set -euo pipefail
KDASR_COMMAND="./run.sh${*:+$(printf ' %q' "$@")}"
export KDASR_COMMAND
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./db.sh

# Begin configuration section.
# The corpus (paths are taken from egs/wsj)
corpus=""            # mini or wsj; empty: wsj where discs are named, else what data/ holds, else mini
wsj0="${WSJ0}"       # LDC93S6: directory of the discs 11-1.1 ... 11-15.1, or a merged wsj0/ tree
wsj1="${WSJ1}"       # LDC94S13: directory of the discs 13-1.1 ... 13-34.1, or a merged wsj1/ tree
hours=2              # mini: hours of training audio, about
# What this recipe sets for the stages below
datadir=data         # Kaldi data directories
train_set=train_si284              # set to train on
valid_set=test_dev93               # set to choose the best epochs by
test_sets="test_dev93 test_eval92" # sets to decode and score
transcribed=""       # share of the training audio taken as transcribed, the rest is untranscribed; empty: 0.6 of mini, all of WSJ
ctc_weight=""        # weight of CTC in beam search; empty: 0.1 for mini, where CTC is the weaker branch, 0.3 for WSJ
teacher_config=""    # empty: conf/mini_teacher.yaml or conf/wsj_rnn_teacher.yaml, as the corpus is
student_configs=""   # empty: conf/mini_student.yaml or conf/wsj_rnn_student.yaml
students=""          # empty: refs extra_soft control, or of WSJ, where all is transcribed, refs nbest word_ctc
tune_configs=""      # of students that go on from another; empty: conf/mini_tune.yaml, of other networks and WSJ the student's
score_opts="--wsj_filter"          # Kaldi's filter of WSJ transcripts before scoring
lm_text_opts=""      # empty: sentences of the embedded corpus's grammar, or the text of disc 13-32.1
lm_vocab=""          # empty: all words of mini's text, 40000 of WSJ's
lm_min_count=""      # empty: 1, or 5 of WSJ's: words that occur less often share one class
lm_teacher_config="" # empty: conf/mini_lm_teacher.yaml or conf/wsj_lm_teacher.yaml
lm_student_config="" # empty: conf/mini_lm_student.yaml or conf/wsj_lm_student.yaml
lm_teacher_seeds=""  # empty: 1 2, or the paper's 17 31 of WSJ's
lm_ce_opts="drop_input=0.1 drop_hidden=0.1 drop_output=0.1 drop_embed=0.02 drop_weight=0.2 activation=0.5 temporal=0.5" # of students on labels alone
lm_stored=""         # empty: all of mini's, stored once; 0 of WSJ's, teachers read along
# End configuration section.

help_message="Usage: ./run.sh [options]

  ./run.sh                                        # the embedded corpus; its WERs say nothing about WSJ
  ./run.sh --wsj0 /ldc/LDC93S6B --wsj1 /ldc/LDC94S13B --ngpu 1 --nj 16   # the real discs
  ./run.sh --stage nbest --stop_stage 7 --beam 10 # some stages, with a wider beam
  ./run.sh --transcribed 0.1                      # a tenth transcribed, nine tenths untranscribed"
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_partial=true
. ../../utils/parse_options.sh

if [ -z "${corpus}" ]; then
    corpus=mini
    if [ -n "${wsj0}${wsj1}" ]; then
        corpus=wsj
    elif [ -s "${datadir}/corpus" ]; then
        corpus="$(<"${datadir}/corpus")" # written by local/data.sh
    fi
fi
case "${corpus}" in
    mini)
        configs=mini
        lm_configs=mini_lm
        lm_text_opts="${lm_text_opts:---apart --upper --sentences 3000}"
        lm_defaults=(0 1 "1 2" all)
        transcribed="${transcribed:-0.6}"
        ctc_weight="${ctc_weight:-0.1}"
        [ -n "${student_configs}" ] || tune_configs="${tune_configs:-conf/mini_tune.yaml}"
        students="${students:-refs extra_soft control}"
        data_opts="--corpus mini --hours ${hours}"
        corpus_note="Embedded corpus (synthetic speech in WSJ's disc layout): these WERs say nothing about WSJ."
        [[ " ${parse_options_rest[*]-}" == *" --help"* ]] || echo "run.sh: the embedded corpus, about ${hours} h of synthetic speech:" \
            "its WERs say nothing about WSJ (for the real discs: --wsj0 DIR --wsj1 DIR)"
        ;;
    wsj)
        configs=wsj_rnn
        lm_configs=wsj_lm
        lm_defaults=(40000 5 "17 31" 0)
        transcribed="${transcribed:-1}"
        ctc_weight="${ctc_weight:-0.3}"
        students="${students:-refs nbest word_ctc}"
        data_opts=""
        corpus_note=""
        if [ -n "${wsj0}${wsj1}" ]; then
            data_opts="--corpus wsj $(printf '%q ' --wsj0 "${wsj0}" --wsj1 "${wsj1}")"
            lm_text_opts="${lm_text_opts:-$(printf '%q ' --discs "${wsj1}")}"
        fi
        ;;
    *)
        echo "run.sh: --corpus ${corpus}: expected mini or wsj" >&2
        exit 1
        ;;
esac

exec ../../utils/kd.sh \
    --data_opts "${data_opts% }" \
    --datadir "${datadir}" \
    --train_set "${train_set}" \
    --valid_set "${valid_set}" \
    --test_sets "${test_sets}" \
    --nlsyms "${datadir}/nlsyms.txt" \
    --transcribed "${transcribed}" \
    --ctc_weight "${ctc_weight}" \
    --teacher_config "${teacher_config:-conf/${configs}_teacher.yaml}" \
    --student_configs "${student_configs:-conf/${configs}_student.yaml}" \
    --tune_configs "${tune_configs}" \
    --students "${students}" \
    --score_opts "${score_opts}" \
    --lm_text_opts "${lm_text_opts% }" \
    --lm_vocab "${lm_vocab:-${lm_defaults[0]}}" \
    --lm_min_count "${lm_min_count:-${lm_defaults[1]}}" \
    --lm_teacher_config "${lm_teacher_config:-conf/${lm_configs}_teacher.yaml}" \
    --lm_student_config "${lm_student_config:-conf/${lm_configs}_student.yaml}" \
    --lm_teacher_seeds "${lm_teacher_seeds:-${lm_defaults[2]}}" \
    --lm_ce_opts "${lm_ce_opts}" \
    --lm_stored "${lm_stored:-${lm_defaults[3]}}" \
    --corpus_note "${corpus_note}" \
    "${parse_options_rest[@]}" "$@"
