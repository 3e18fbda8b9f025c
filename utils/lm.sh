#!/usr/bin/env bash
# The stages of language model distillation (Shi et al. 2019), shared by egs/ptb/run.sh and stage 8 of utils/kd.sh: from
# three texts to teachers, students by each objective, perplexities, and a table. It works in the recipe's directory.
set -euo pipefail

# Begin configuration section.
stage=1              # first stage, by number or name
stop_stage=5         # last stage, by number or name
nj=2                 # trainings that run side by side
ngpu=0               # 1: train and evaluate on a GPU
train=data/text/train.txt  # training text, a sentence a line
valid=data/text/valid.txt  # text to choose the best epoch by
tests="data/text/test.txt" # further texts to compute perplexities of
vocab=0              # most frequent words to keep (0: all)
min_count=1          # words that occur less often share one class
teacher_config=conf/lm_teacher.yaml  # configuration of the teachers
student_config=conf/lm_student.yaml  # configuration of the students
finetune=""          # settings of finetuning over the configurations, as in "rate=25 patience=0 stop=5" (empty: none)
teacher_seeds="1 2"  # a teacher for each; their mean is the teacher of the students
seeds="1"            # seeds of the students: one of each objective for each
objectives="ce kl fixed trust"  # how students learn: ce, kl, fixed, constant, trust, adaptive, conditional
lm_opts=""           # further settings of every training, as in "epochs=3 streams=4"
stored=0             # words kept of the teachers' distributions, stored once (0: teachers read along)
draws=false          # draw these words instead of taking the most probable
dynamic=false        # dynamic evaluation, too
dumpdir=dump/lm      # vocabulary and stored targets
expdir=exp/lm        # models and perplexities
results=RESULTS.md   # the table
note=""              # a sentence that the table carries
# End configuration section.

# shellcheck disable=SC2034
names=("" words teacher student ppl report)
# shellcheck disable=SC2034
help_message="Usage: ./run.sh [options]                      (in egs/ptb)

Distils a recurrent language model. Stages, by number or name:
   1 words    training text -> the vocabulary
   2 teacher  -> EXPDIR/teacher_s*, one for each of --teacher_seeds
   3 student  -> EXPDIR/student_OBJECTIVE_s*
   4 ppl      -> EXPDIR/MODEL/ppl, and EXPDIR/ensemble/ppl of the teachers together
   5 report   -> the table

  ./run.sh                                     # everything; run again, it goes on where it was stopped
  ./run.sh --seeds '1 2 3' --nj 4              # three students of each objective
  ./run.sh --objectives 'ce trust' --lm_opts 'epochs=5'
  ./run.sh --stored 20 --draws true            # students learn from stored draws instead of teachers beside them"

command_line="${KDASR_COMMAND:-${BASH_SOURCE[0]} $*}"
utils="$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=utils/kd_steps.sh
. "${utils}/kd_steps.sh"
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_program="${KDASR_COMMAND:+run.sh}"
# shellcheck source=utils/parse_options.sh
. "${utils}/parse_options.sh"
[ $# -eq 0 ] || die "$1: options begin with -- and take one value; ./run.sh --help lists them"

which_stages
for file in "${teacher_config}" "${student_config}"; do
    [ -f "${file}" ] || die "${file}: no such file; name the configurations with --teacher_config and --student_config"
done
for file in path.sh cmd.sh; do
    # shellcheck disable=SC1090  # the recipe's
    . "./${file}"
done
read -ra run_train <<<"${train_cmd:-}"
read -ra run_cuda <<<"${cuda_cmd:-}"
if [ "${ngpu}" -gt 0 ]; then run_train=("${run_cuda[@]}" --gpu 1); fi

now="${first}"
take_lock
export KDASR_RECIPE_PID=$$
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
started="${SECONDS}"
log "${command_line}"

words="${dumpdir}/words"
teachers=()
for one in ${teacher_seeds}; do teachers+=("${expdir}/teacher_s${one}${finetune:+_ft}"); done

# train_lm DIR LABEL CONFIG SEED SETTINGS [OPTION...]: the options name directories, which count as inputs
train_lm() {
    local out="$1" label="$2" config="$3" model_seed="$4" made word inputs=() settings=() set=()
    read -ra settings <<<"$5 ${lm_opts}"
    shift 5
    for word in "$@"; do [[ "${word}" == --* ]] || inputs+=("${word}"); done
    [ "${#settings[@]}" -eq 0 ] || set=(--set "${settings[@]}")
    made="$(stamp "seed=${model_seed}" "set=${settings[*]}" -- "${config}" "${train}" "${valid}" "${words}" "${inputs[@]}")"
    if is_done "${out}" "${made}"; then
        log "${out}: done already"
        return
    fi
    log "${out}: training (${label}), log in ${out}/train.log"
    await "${run_train[@]}" "${out}/train.log" kdasr lm train --conf "${config}" --words "${words}" --train "${train}" \
        --valid "${valid}" --out "${out}" --label "${label}" --seed "${model_seed}" --ngpu "${ngpu}" "$@" "${set[@]}"
    mark_done "${out}" "${made}"
    log "$(tail -n 1 "${out}/log" | sed "s|^|${out}: |")"
}

# train_and_finetune DIR LABEL CONFIG SEED SETTINGS [OPTION...]
train_and_finetune() {
    train_lm "$@"
    [ -z "${finetune}" ] || train_lm "$1_ft" "$2, finetuned" "$3" "$4" "$5 ${finetune}" "${@:6}" --init "$1"
}

if begin 1 "${train}" "${words}"; then
    for file in "${train}" "${valid}" ${tests}; do [ -f "${file}" ] || die "${file}: no such text"; done
    made="$(stamp "vocab=${vocab}" "min_count=${min_count}" -- "${train}")"
    if is_done "${words}" "${made}"; then
        log "${words}: done already"
    else
        await "${run_train[@]}" "${dumpdir}/log/words.log" kdasr lm words --text "${train}" --size "${vocab}" \
            --min_count "${min_count}" --out "${words}"
        grep -v '^#' "${dumpdir}/log/words.log" || true
        mark_done "${words}" "${made}"
    fi
fi

if begin 2 "${train} ${valid}" "${teachers[*]}"; then
    need 1 "${words}"
    for one in ${teacher_seeds}; do
        pool_start train_and_finetune "${expdir}/teacher_s${one}" "teacher" "${teacher_config}" "${one}" ""
    done
    pool_wait
fi

learn_from=(--teachers "${teachers[@]}")
if [ "${stored}" -gt 0 ]; then learn_from=(--soft "${dumpdir}/soft"); fi

if begin 3 "${train} ${valid} ${teachers[*]}" "${expdir}/student_*"; then
    need 2 "${teachers[@]}"
    if [ "${stored}" -gt 0 ]; then
        how=()
        if "${draws}"; then how=(--draws); fi
        made="$(stamp "stored=${stored}" "draws=${draws}" -- "${train}" "${teachers[@]}")"
        if ! is_done "${dumpdir}/soft" "${made}"; then
            await "${run_train[@]}" "${dumpdir}/log/soft.log" kdasr lm soft --teachers "${teachers[@]}" --text "${train}" \
                --kept "${stored}" --out "${dumpdir}/soft" --ngpu "${ngpu}" "${how[@]}"
            mark_done "${dumpdir}/soft" "${made}"
        fi
    fi
    for one in ${seeds}; do
        for objective in ${objectives}; do
            from=()
            if [ "${objective}" != ce ]; then from=("${learn_from[@]}"); fi
            pool_start train_and_finetune "${expdir}/student_${objective}_s${one}" "student, ${objective}" \
                "${student_config}" "${one}" "objective=${objective}" "${from[@]}"
        done
    done
    pool_wait
fi

ppl() { # NAME MODEL...
    local out="${expdir}/$1/ppl" made
    shift
    # shellcheck disable=SC2086  # several texts
    made="$(stamp "dynamic=${dynamic}" -- "${valid}" ${tests} "$@")"
    if is_done "${out}" "${made}"; then return; fi
    # shellcheck disable=SC2086
    await "${run_train[@]}" "${out}/ppl.log" kdasr lm ppl --model "$@" --text "${valid}" ${tests} --out "${out}" --ngpu "${ngpu}"
    if "${dynamic}" && [ $# -eq 1 ]; then
        # shellcheck disable=SC2086
        await "${run_train[@]}" "${out}/dynamic.log" kdasr lm ppl --model "$1" --text "${valid}" ${tests} --out "${out}" \
            --ngpu "${ngpu}" --dynamic "${train}"
    fi
    mark_done "${out}" "${made}"
}

if begin 4 "${valid} ${tests} ${expdir}/*" "${expdir}/*/ppl"; then
    shopt -s nullglob
    models=("${expdir}"/teacher_s*/.done "${expdir}"/student_*/.done)
    shopt -u nullglob
    [ "${#models[@]}" -gt 0 ] || die "${expdir}: no models; run stage 2 (teacher) first"
    pool_start ppl ensemble "${teachers[@]}"
    for one in "${models[@]%/.done}"; do pool_start ppl "${one##*/}" "${one}"; done
    pool_wait
fi

if begin 5 "${expdir}/*/ppl" "${results}"; then
    notes=()
    [ -z "${note}" ] || notes=(--note "${note}")
    await kdasr lm report --exp "${expdir}" --out "${results}" --command "${command_line}" "${notes[@]}"
fi
log "finished, $((SECONDS - started)) s"
