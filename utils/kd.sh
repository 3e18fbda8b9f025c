#!/usr/bin/env bash
# The stages of a distillation recipe, shared by every egs/*/run.sh: from a corpus to a teacher, its
# N-best hypotheses, students, and a table of what each costs. It works in the recipe's directory,
# which holds cmd.sh, path.sh, conf/ and local/data.sh.
set -euo pipefail

# Begin configuration section.
# What is run
stage=1              # first stage, by number or name
stop_stage=10        # last stage, by number or name
nj=2                 # processes that run side by side
ngpu=0               # GPUs of one training, on each of its nodes (0: on the CPU)
num_nodes=1          # nodes of one training (more: on a cluster only)
seed=1               # seed of the teacher
seeds="1"            # seeds of the students: one student of each kind for each
submit=""            # slurm: hand the stages over to the cluster, a job each, one after the other, and return
early_students=true  # train the students that need no teacher beside it (on the CPU, with nj of 2 or more)
# Data
train_set=train      # set of data/ to train on
valid_set=dev        # set to choose the best epochs by
test_sets="test"     # sets to decode and score
data_opts=""         # options for local/data.sh (the recipe's run.sh fills them in)
transcribed=1        # share of the training audio taken as transcribed; the rest serves as untranscribed audio
split_seed=1         # seed of that split
feats_type=fbank     # features: fbank (80 log-mel bins) or spectrogram (161 bins of 20 ms, as conf/munim2018 takes them)
speed=""             # speed factors of the training audio, as in 0.9,1.0,1.1 (empty: as it is)
min_duration=""      # seconds; shorter clips are counted and left out (empty: one that has no frame ends the stage)
cmvn=global          # mean and variance normalisation: global or speaker
token_type=char      # char, unigram or bpe
vocab=100            # number of sentencepiece units (char takes what the text holds)
nlsyms=""            # file of non-linguistic symbols (<NOISE>), one a line; left out of scores
# Models
teacher_config=conf/teacher.yaml  # configuration of the teacher
teacher_dir=""       # a finished ESPnet model directory to use as the teacher, instead of training one
student_configs=conf/student.yaml  # configuration of the students; with several, each objective has a student of each
tune_configs=""      # of students that go on from another, one for each of student_configs (empty: these)
students="refs nbest extra_soft control"  # which students: objectives of utils/objectives or conf/objectives, or files
folds=2              # parts of the transcribed audio for the objectives crossfit*: as many more teachers
train_opts=""        # ESPnet's own options for every training, as in "--max_epoch 10"
target_opts=""       # further options of every kdasr targets, as in "--max_wer 20"
# Search
gpu_inference=false  # search on GPUs, one a job
nbest=5              # hypotheses an utterance that the teacher writes
beam=5               # beam of the N-best and of the decode tag "beam"
ctc_weight=0.3       # weight of CTC in them
nbest_opts=""        # further options of kdasr nbest
decode_tags="greedy beam"  # how to decode: greedy (beam 1, no CTC), beam (--beam), beam20 (of 20)
decode_opts=""       # further options of kdasr decode
score_opts=""        # further options of kdasr score, as in --wsj_filter
ppl=false            # whether stage 6 computes perplexities on references, too
decode_nj=1          # jobs that one decoding is cut into (small sets: 1; nj decodings run side by side)
# Language models
lm=false             # run stages 8 and 9 on the way, too (--stage or --stop_stage of 8 or 9 asks for them as well)
lm_text_opts=""      # options for kdasr data text (the recipe's run.sh fills them in; empty: the transcripts are the text)
lm_vocab=0           # most frequent words that the language models know (0: all)
lm_min_count=1       # words that occur less often share one class
lm_teacher_config=conf/lm_teacher.yaml  # configuration of their teachers
lm_student_config=conf/lm_student.yaml  # configuration of their students
lm_teacher_seeds="1 2"  # a teacher for each; their mean is the teacher of the students
lm_seeds="1"         # seeds of the students: one of each objective for each
lm_objectives="ce kl fixed trust"  # how they learn: ce, kl, fixed, constant, trust, adaptive, conditional
lm_ce_opts=""        # settings of students on labels alone over their configuration, as in "drop_input=0.1"
lm_opts=""           # further settings of every training of these, as in "epochs=5"
lm_stored=0          # words kept of the teachers' distributions, stored once (all: every word; 0: teachers read along)
rescore="teacher"    # whose N-best lists are ranked anew: teacher, or objectives of --students
rescore_beam=20      # beam, and hypotheses, of these lists
rescore_opts=""      # further options of kdasr rescore on the validation set, as in "--grid lm=0:2:0.1"
lm_results=RESULTS_LM.md  # the table of language models
# Where
datadir=data         # Kaldi data directories
dumpdir=dump         # features and token lists
expdir=exp           # models and results
results=RESULTS.md   # the table
figures=""           # file that keeps what was measured, elsewhere or earlier too; the table shows all of it
tag=""               # added to the names of the model directories, to keep runs apart
note=""              # a sentence that the table carries
corpus_note=""       # another, on the corpus (the recipe's run.sh fills it in)
# End configuration section.

# shellcheck disable=SC2034  # used in the files sourced below
names=("" data feats teacher nbest student decode score lm rescore report)
# shellcheck disable=SC2034
help_message="Usage: ./run.sh [options]                      (in egs/wsj, egs/an4, ...)

Distils a speech recogniser: trains a teacher, writes its N-best, trains students on them, decodes,
scores, and writes a table. Stages, by number or name:
   1 data     corpus -> data/SET
   2 feats    data/SET -> dump/FEATS_TYPE/SET, and the split into transcribed and untranscribed audio
   3 teacher  features -> dump/tokens/TYPE, exp/teacher_*
   4 nbest    teacher, training audio -> exp/teacher_*/nbest_SET
   5 student  N-best or references -> exp/student_*: the same network by each objective of --students, among them
                refs     references of the transcribed audio
                nbest    the teacher's N-best of the transcribed audio, weighted by posterior
                extra_soft  references, the teacher's N-best of the untranscribed audio, and its distributions
                control  references of all audio, as if the rest had been transcribed by hand
                word, seq_k5_b5, crossfit, inter, all_three, ensemble, prune80, ...: see utils/objectives
   6 decode   models, test sets -> exp/MODEL/decode_TAG/SET
   7 score    -> exp/MODEL/decode_TAG/SET/score_wer, score_cer
   8 lm       text, or transcripts -> exp/lm/teacher_s*, exp/lm/student_OBJECTIVE_s*, and their perplexities
   9 rescore  N-best of the test sets, ranked anew by each language model -> exp/lm/*/rescore_*, RESULTS_LM.md
                8 and 9 run with --lm true, or where --stage or --stop_stage names one of them
  10 report   scores -> RESULTS.md, and exp/report.html, a page to look at

  ./run.sh                                   # everything; run again, it goes on where it was stopped
  ./run.sh --stage teacher --stop_stage 5    # stages 3 to 5
  ./run.sh --nj 8 --seeds '1 2 3'            # eight processes, three students of each objective
  ./run.sh --students 'refs word seq_k5_b5 conf/objectives/mine.conf'
  ./run.sh --student_configs 'conf/student.yaml conf/small_student.yaml'   # students of two sizes
  ./run.sh --teacher_dir /models/asr_wsj     # distil a finished ESPnet model
  ./run.sh --stage 6 --decode_tags beam20    # another search, beside the others
  ./run.sh --stage lm --stop_stage rescore   # language models, and what they make of the teacher's lists
  ./run.sh --submit slurm --nj 32 --stage 3  # on a cluster; kdasr jobs status exp shows how the stages stand

A finished step has a file .done, which holds its settings and inputs. To redo a step, remove its
directory; with .done alone removed, the step runs again on what is there."

words=("$@") # for --submit
command_line="${KDASR_COMMAND:-${BASH_SOURCE[0]}${*:+$(printf ' %q' "$@")}}" # as the user wrote it; set by run.sh
utils="$(dirname "${BASH_SOURCE[0]}")"
. "${utils}/kd_steps.sh"
# shellcheck source=utils/submit_stages.sh
. "${utils}/submit_stages.sh"
# shellcheck disable=SC2034  # read by parse_options.sh: what the user called
parse_options_program="${KDASR_COMMAND:+run.sh}"
. "${utils}/parse_options.sh"
[ $# -eq 0 ] || die "$1: options begin with -- and take one value; ./run.sh --help lists them"

# ---------------------------------------------------------------------------------------- options

whole_number() {
    if ! [[ "${!1}" =~ ^[0-9]+$ ]] || ((10#${!1} < $2)); then
        die "--$1 ${!1}: expected a whole number, $2 or more"
    fi
}

# Whether stages 8 and 9 run. They take minutes that a first look at a recipe need not wait for, and so wait to be asked for.
lm_wanted() {
    "${lm}" || ((first == 8 || first == 9 || last == 8 || last == 9))
}

which_stages
for option in nj num_nodes decode_nj nbest beam vocab lm_min_count rescore_beam; do whole_number "${option}" 1; done
whole_number folds 2
for option in ngpu seed split_seed lm_vocab; do whole_number "${option}" 0; done
[[ "${transcribed}" =~ ^(0?\.[0-9]*[1-9][0-9]*|1|1\.0*)$ ]] ||
    die "--transcribed ${transcribed}: expected a share above 0 and up to 1, as in 0.5"
case "${token_type}" in
    char | unigram | bpe) ;;
    *) die "--token_type ${token_type}: expected char, unigram or bpe" ;;
esac
case "${feats_type}" in
    fbank | spectrogram) ;;
    *) die "--feats_type ${feats_type}: expected fbank or spectrogram" ;;
esac
for decode_tag in ${decode_tags}; do
    [[ "${decode_tag}" =~ ^(greedy|beam|beam[1-9][0-9]*)$ ]] ||
        die "--decode_tags ${decode_tag}: expected some of greedy, beam, and beam20 or another number"
done

# split NAME TEXT: the words of TEXT into the array NAME; quotes and backslashes keep blanks, nothing is expanded
split() {
    local -n into="$1"
    local text
    into=()
    [ -n "${2//[[:space:]]/}" ] || return 0
    # the last line keeps empty words before it from being cut off with the end
    text="$(xargs printf '%s\n' <<<"$2" 2>/dev/null && echo .)" || die "--${1%words}opts $2: a quote is not closed"
    # shellcheck disable=SC2034  # a reference to the caller's array
    mapfile -t into <<<"${text}"
    unset 'into[-1]'
}
data_words=() train_words=() target_words=() nbest_words=() decode_words=() score_words=() select_words=()
for option in data train target nbest decode score; do
    text="${option}_opts"
    split "${option}_words" "${!text}"
done

submit_to
recipe_commands
inference_option=()
if "${gpu_inference}"; then
    run_decode=("${run_cuda[@]}" --gpu 1)
    inference_option=(--ngpu 1)
fi

# ------------------------------------------------------------------------------------- directories

teacher_dir="${teacher_dir%/}"
feats="${dumpdir}/${feats_type}"
train_all="${feats}/${train_set}${speed:+_sp}"
if [[ "${transcribed}" == 1* ]]; then
    labelled="${train_all}"
    unlabelled=""
else
    labelled="${train_all}_lab${transcribed}"
    unlabelled="${train_all}_unlab${transcribed}"
fi
tokens="${dumpdir}/tokens/${token_type}"
[ "${token_type}" = char ] || tokens+="${vocab}"
[ "${feats_type}" = fbank ] || tokens+="_${feats_type}" # its record names the set that its text was taken from
[ -z "${teacher_dir}" ] || tokens="${dumpdir}/tokens/of_${teacher_dir##*/}"

# conf/mini_teacher.yaml -> _mini, conf/teacher.yaml -> nothing: the role is in the directory's name already.
# A folder of conf/ goes into it too: conf/munim2018/teacher.yaml -> _munim2018, .../student_mid.yaml -> _munim2018_mid.
conf_name() {
    local name="${1##*/}" folder=""
    name="${name%.yaml}"
    name="${name%"$2"}"
    name="${name%_}"
    if [[ "$1" =~ (^|/)conf/([^/]+)/[^/]+$ ]]; then
        folder="_${BASH_REMATCH[2]}"
        name="${name#"$2_"}"
    fi
    echo "${folder}${name:+_${name}}"
}
if [ -n "${teacher_dir}" ]; then
    teacher="${expdir}/teacher_${teacher_dir##*/}${tag:+_${tag}}"
    teacher_base="${teacher}"
else
    teacher_base="${expdir}/teacher$(conf_name "${teacher_config}" teacher)${tag:+_${tag}}"
    teacher="${teacher_base}_s${seed}"
fi

student_dir() { # OBJECTIVE SEED, of the network of ${student_config}
    echo "${expdir}/student$(conf_name "${student_config}" student)_$1${tag:+_${tag}}_s$2"
}
read -ra student_list <<<"${student_configs}"
read -ra tune_list <<<"${tune_configs:-${student_configs}}"
[ "${#student_list[@]}" -gt 0 ] || die "--student_configs: expected the configuration of the students"
[ "${#tune_list[@]}" -eq "${#student_list[@]}" ] ||
    die "--tune_configs ${tune_configs}: expected one for each of --student_configs ${student_configs}"

other_sets=("${valid_set}")
for name in ${test_sets}; do
    [ "${name}" = "${valid_set}" ] || other_sets+=("${name}")
done

recipe_search="${beam} ${nbest}"
fold_dir="${labelled}_folds${folds}"
# shellcheck source=utils/kd_objectives.sh
. "${utils}/kd_objectives.sh"
for name in ${students}; do objective_file file "${name}"; done
left_out=""
for name in ${students}; do
    one_name name "${name}"
    if [ -z "${unlabelled}" ] && with_objective "${name}" learns_from_the_rest; then
        left_out+="${left_out:+, }${name}"
    else
        add_objective "${name}"
    fi
done
[ "${#objectives[@]}" -gt 0 ] || [ -z "${left_out}" ] ||
    die "--students ${students}: all audio is transcribed; with --transcribed 0.5, half of it is taken as untranscribed"
student_models=()
for name in "${objectives[@]}"; do
    with_objective "${name}" note_needs
    short_name short "${name}"
    for student_config in $(with_objective "${name}" its_configs); do
        for student_seed in ${seeds}; do student_models+=("$(student_dir "${short}" "${student_seed}")"); done
    done
done
same="$(printf '%s\n' "${student_models[@]}" | sort | uniq -d)"
[ -z "${same}" ] ||
    die "${same%%$'\n'*}: two students would be written there; --student_configs, by name, and --seeds have to differ"
mapfile -t teacher_models < <(teachers="${most_teachers}" ensemble)
models=("${teacher_models[@]}" "${student_models[@]}")

# --------------------------------------------------------------------------------------------- run

now="${first}"
if [ -n "${submit}" ]; then
    stages=()
    for ((n = first; n <= last; n++)); do if ((n != 8 && n != 9)) || lm_wanted; then stages+=("${n}"); fi; done
    submit_stages "${stages[*]}" "${BASH_SOURCE[0]}" "${words[@]}"
    exit
fi
start_run
if [ -t 1 ] || [ -p /dev/stdout ]; then # trainings say here, epoch by epoch, how they are doing; a file would be written twice
    exec 8>&1
    export KDASR_PROGRESS="/proc/$$/fd/8"
fi

# ------------------------------------------------------------------------------------------ stages

# In braces: the shell reads to the last of them before it begins, so that this file may change under a long run.
{
    # shellcheck source=utils/kd_data.sh
    . "${utils}/kd_data.sh"
    # shellcheck source=utils/kd_train.sh
    . "${utils}/kd_train.sh"
    # shellcheck source=utils/kd_score.sh
    . "${utils}/kd_score.sh"

    if [ -n "${early}" ]; then
        log "waiting for the students that were started beside the teacher"
        status_of "${early}"
    fi
    log "finished, $((SECONDS - started)) s"
    exit 0
}
