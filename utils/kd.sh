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
ngpu=0               # GPUs of one training (0: on the CPU)
seed=1               # seed of the teacher
seeds="1"            # seeds of the students: one student of each kind for each
early_students=true  # train the students that need no teacher beside it (on the CPU, with nj of 2 or more)
# Data
train_set=train      # set of data/ to train on
valid_set=dev        # set to choose the best epochs by
test_sets="test"     # sets to decode and score
data_opts=""         # options for local/data.sh (the recipe's run.sh fills them in)
transcribed=1        # share of the training audio taken as transcribed; the rest serves as untranscribed audio
split_seed=1         # seed of that split
speed=""             # speed factors of the training audio, as in 0.9,1.0,1.1 (empty: as it is)
cmvn=global          # mean and variance normalisation: global or speaker
token_type=char      # char, unigram or bpe
vocab=100            # number of sentencepiece units (char takes what the text holds)
nlsyms=""            # file of non-linguistic symbols (<NOISE>), one a line; left out of scores
# Models
teacher_config=conf/teacher.yaml  # configuration of the teacher
teacher_dir=""       # a finished ESPnet model directory to use as the teacher, instead of training one
student_config=conf/student.yaml  # configuration of the students
students="refs nbest extra control"  # which students; the usage text says what each learns from
train_opts=""        # ESPnet's own options for every training, as in "--max_epoch 10"
target_opts=""       # further options of kdasr targets, as in "--select posterior --k 5"
# Search
gpu_inference=false  # search on GPUs, one a job
nbest=5              # hypotheses an utterance that the teacher writes
beam=5               # beam of the N-best and of the decode tag "beam"
ctc_weight=0.3       # weight of CTC in them
nbest_opts=""        # further options of kdasr nbest
decode_tags="greedy beam"  # how to decode: greedy (beam 1, no CTC), beam (--beam), beam20 (of 20)
decode_opts=""       # further options of kdasr decode
score_opts=""        # further options of kdasr score, as in --wsj_filter
decode_nj=1          # jobs that one decoding is cut into (small sets: 1; nj decodings run side by side)
# Where
datadir=data         # Kaldi data directories
dumpdir=dump         # features and token lists
expdir=exp           # models and results
results=RESULTS.md   # the table
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
   2 feats    data/SET -> dump/fbank/SET, and the split into transcribed and untranscribed audio
   3 teacher  features -> dump/tokens/TYPE, exp/teacher_*
   4 nbest    teacher, training audio -> exp/teacher_*/nbest_SET
   5 student  N-best or references -> exp/student_*: the same network on
                refs     references of the transcribed audio
                nbest    the teacher's N-best of the transcribed audio, weighted by posterior
                extra    references, and the teacher's N-best of the untranscribed audio
                control  references of all audio, as if the rest had been transcribed by hand
   6 decode   models, test sets -> exp/MODEL/decode_TAG/SET
   7 score    -> exp/MODEL/decode_TAG/SET/score_wer, score_cer
   8 lm, 9 rescore: kept free for language models
  10 report   scores -> RESULTS.md

  ./run.sh                                   # everything; run again, it goes on where it was stopped
  ./run.sh --stage teacher --stop_stage 5    # stages 3 to 5
  ./run.sh --nj 8 --seeds '1 2 3'            # eight processes, three students of each kind
  ./run.sh --teacher_dir /models/asr_wsj     # distil a finished ESPnet model
  ./run.sh --stage 6 --decode_tags beam20    # another search, beside the others

A finished step has a file .done, which holds its settings and inputs. To redo a step, remove its
directory; with .done alone removed, the step runs again on what is there."

command_line="${KDASR_COMMAND:-${BASH_SOURCE[0]} $*}" # as the user wrote it; set by run.sh
utils="$(dirname "${BASH_SOURCE[0]}")"
. "${utils}/kd_steps.sh"
# shellcheck disable=SC2034  # read by parse_options.sh: what the user called
parse_options_program="${KDASR_COMMAND:+run.sh}"
. "${utils}/parse_options.sh"
[ $# -eq 0 ] || die "$1: options begin with -- and take one value; ./run.sh --help lists them"

# ---------------------------------------------------------------------------------------- options

# The number of a stage given by number or name.
stage_number() {
    local number
    for number in {1..10}; do
        if [ "$2" = "${number}" ] || [ "$2" = "${names[number]}" ]; then
            echo "${number}"
            return
        fi
    done
    die "--$1 $2: no such stage; expected 1 to 10 or one of:${names[*]}"
}

whole_number() {
    if ! [[ "${!1}" =~ ^[0-9]+$ ]] || ((10#${!1} < $2)); then
        die "--$1 ${!1}: expected a whole number, $2 or more"
    fi
}

first="$(stage_number stage "${stage}")"
last="$(stage_number stop_stage "${stop_stage}")"
((first <= last)) || die "--stage ${stage} --stop_stage ${stop_stage}: the last stage comes before the first"
for option in nj decode_nj nbest beam vocab; do whole_number "${option}" 1; done
for option in ngpu seed split_seed; do whole_number "${option}" 0; done
[[ "${transcribed}" =~ ^(0?\.[0-9]*[1-9][0-9]*|1|1\.0*)$ ]] ||
    die "--transcribed ${transcribed}: expected a share above 0 and up to 1, as in 0.5"
case "${token_type}" in
    char | unigram | bpe) ;;
    *) die "--token_type ${token_type}: expected char, unigram or bpe" ;;
esac
for kind in ${students}; do
    case "${kind}" in
        refs | nbest | extra | control) ;;
        *) die "--students ${kind}: expected some of refs, nbest, extra, control" ;;
    esac
done
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
data_words=() train_words=() target_words=() nbest_words=() decode_words=() score_words=()
for option in data train target nbest decode score; do
    text="${option}_opts"
    split "${option}_words" "${!text}"
done

for file in path.sh cmd.sh; do
    [ -f "${file}" ] || die "${file}: not found in ${PWD}; run a recipe's run.sh in its own directory"
    # shellcheck disable=SC1090  # the recipe's
    . "./${file}"
done
# each is "run.py", or another program of its interface with options
read -ra run_train <<<"${train_cmd:-}"
read -ra run_decode <<<"${decode_cmd:-}"
read -ra run_cuda <<<"${cuda_cmd:-}"
inference_option=()
if "${gpu_inference}"; then
    run_decode=("${run_cuda[@]}" --gpu 1)
    inference_option=(--ngpu 1)
fi
for file in kdasr "${run_train[0]:-train_cmd}" "${run_decode[0]:-decode_cmd}" "${run_cuda[0]:-cuda_cmd}"; do
    command -v "${file}" >/dev/null || case "${file}" in
        kdasr) die "kdasr is not installed; run tools/install.sh at the top of the repository" ;;
        *) die "${file}: no such command; cmd.sh has to set train_cmd, decode_cmd and cuda_cmd, as to run.py" ;;
    esac
done

# ------------------------------------------------------------------------------------- directories

teacher_dir="${teacher_dir%/}"
feats="${dumpdir}/fbank"
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
[ ! -d "${teacher_dir:-/nonexistent}/tokens" ] || tokens="${dumpdir}/tokens/of_${teacher_dir##*/}"

# conf/mini_teacher.yaml -> _mini, conf/teacher.yaml -> nothing: the role is in the directory's name already
conf_name() {
    local name="${1##*/}"
    name="${name%.yaml}"
    name="${name%"$2"}"
    name="${name%_}"
    echo "${name:+_${name}}"
}
if [ -n "${teacher_dir}" ]; then
    teacher="${expdir}/teacher_${teacher_dir##*/}${tag:+_${tag}}"
else
    teacher="${expdir}/teacher$(conf_name "${teacher_config}" teacher)${tag:+_${tag}}_s${seed}"
fi
student_base="${expdir}/student$(conf_name "${student_config}" student)"

student_dir() { # KIND SEED
    echo "${student_base}_$1${tag:+_${tag}}_s$2"
}

other_sets=("${valid_set}")
for name in ${test_sets}; do
    [ "${name}" = "${valid_set}" ] || other_sets+=("${name}")
done

kinds=()
for kind in ${students}; do
    # with everything transcribed, extra and control are the student refs
    if [ -z "${unlabelled}" ] && [[ "${kind}" == @(extra|control) ]] && [[ " ${students} " == *" refs "* ]]; then
        as_refs+="${as_refs:+, }${kind}"
    else
        kinds+=("${kind}")
    fi
done
models=("${teacher}")
for student_seed in ${seeds}; do
    for kind in "${kinds[@]}"; do models+=("$(student_dir "${kind}" "${student_seed}")"); done
done

# --------------------------------------------------------------------------------------------- run

now="${first}"
take_lock
export KDASR_RECIPE_PID=$$ # run.py ends its jobs when this process is gone
if [ -t 1 ] || [ -p /dev/stdout ]; then # trainings say here, epoch by epoch, how they are doing; a file would be written twice
    exec 8>&1
    export KDASR_PROGRESS="/proc/$$/fd/8"
fi
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
started="${SECONDS}"
log "${command_line}"

# begin N READS WRITES: whether stage N is to be run, and its headline
begin() {
    (($1 >= first && $1 <= last)) || return 1
    now="$1"
    log "stage $1 (${names[$1]}): reads $2, writes $3"
}

# ------------------------------------------------------------------------------------------ stages

if begin 1 "the corpus" "${datadir}/{${train_set}$(printf ',%s' "${other_sets[@]}")}"; then
    made="$(stamp "data_opts=${data_opts}" --)"
    # without options for the corpus, what is there is taken
    if { [ -z "${data_opts}" ] && [ -e "${datadir}/.done" ]; } || is_done "${datadir}" "${made}"; then
        log "${datadir}: done already"
    else
        await "${run_train[@]}" "${datadir}/log/data.log" local/data.sh --datadir "${datadir}" --nj "${nj}" "${data_words[@]}"
        mark_done "${datadir}" "${made}"
    fi
fi

# extract SET OUT [SPEED]: features of one set
extract() {
    local data="${datadir}/$1" out="$2" made
    local options=(--data "${data}" --out "${out}" --cmvn "${cmvn}")
    [ -z "${3:-}" ] || options+=(--speed "$3")
    need 1 "${data}/wav.scp" "${data}/utt2spk"
    made="$(stamp "cmvn=${cmvn}" "speed=${3:-}" -- "${data}/wav.scp" "${data}/text" "${data}/utt2spk")"
    if is_done "${out}" "${made}"; then
        log "${out}: done already"
        return
    fi
    log "${out}: features, log in ${out}/log/feats.*.log"
    await "${run_train[@]}" JOB=1:"${nj}" "${out}/log/feats.JOB.log" kdasr feats "${options[@]}" --job JOB/"${nj}"
    await "${run_train[@]}" "${out}/log/merge.log" kdasr feats "${options[@]}" --merge
    mark_done "${out}" "${made}"
}

if begin 2 "${datadir}" "${feats}"; then
    extract "${train_set}" "${train_all}" "${speed}"
    for name in "${other_sets[@]}"; do extract "${name}" "${feats}/${name}"; done
    if [ -n "${unlabelled}" ]; then
        made="$(stamp "transcribed=${transcribed}" "seed=${split_seed}" -- "${train_all}")"
        if is_done "${labelled}" "${made}" && is_done "${unlabelled}" "${made}"; then
            log "${labelled}, ${unlabelled}: done already"
        else
            log "${train_all}: ${transcribed} of it into ${labelled}, the rest without text into ${unlabelled}"
            await "${run_train[@]}" "${feats}/log/holdout.log" kdasr data holdout --transcribed "${transcribed}" --seed "${split_seed}" \
                "${train_all}" --labelled "${labelled}" --unlabelled "${unlabelled}"
            mark_done "${unlabelled}" "${made}"
            mark_done "${labelled}" "${made}"
        fi
    fi
fi

nlsyms_option=()
if [ -n "${nlsyms}" ] && [ -s "${nlsyms}" ]; then nlsyms_option=(--nlsyms "${nlsyms}"); fi

# A finished teacher's students speak its tokens.
copy_tokens() {
    local made
    made="$(stamp -- "${teacher_dir}/tokens/tokens.txt")"
    if is_done "${tokens}" "${made}"; then
        log "${tokens}: done already"
    else
        mkdir -p "${tokens}"
        cp -r "${teacher_dir}/tokens/." "${tokens}"
        mark_done "${tokens}" "${made}"
    fi
}

make_tokens() {
    local made options=() name check=("${feats}/${valid_set}/text")
    [ "${token_type}" = char ] || options=(--vocab "${vocab}")
    for name in ${test_sets}; do [ "${name}" = "${valid_set}" ] || check+=("${feats}/${name}/text"); done
    made="$(stamp "type=${token_type}" "vocab=${options[1]:-}" -- "${labelled}" "${nlsyms_option[@]:1}")"
    if is_done "${tokens}" "${made}"; then
        log "${tokens}: done already"
        return
    fi
    await "${run_train[@]}" "${dumpdir}/tokens/log/${tokens##*/}.log" kdasr tokens --text "${labelled}/text" --out "${tokens}" \
        --type "${token_type}" "${options[@]}" "${nlsyms_option[@]}" --check "${check[@]}"
    mark_done "${tokens}" "${made}"
}

need_config() { # NAME of the option
    [ -f "${!1}" ] || die "--$1 ${!1}: no such file; there are: $(echo conf/*.yaml)"
}

# train_model DIR ROLE LABEL CONFIG TRAIN SEED [OPTION...]; --targets DIR among the options counts as an input
train_model() {
    local out="$1" role="$2" label="$3" config="$4" train="$5" model_seed="$6" made targets=()
    local run=("${run_train[@]}") espnet=()
    shift 6
    [ "${1:-}" != --targets ] || targets=("$2")
    [ "${#train_words[@]}" -eq 0 ] || espnet=(-- "${train_words[@]}")
    [ "${ngpu}" -eq 0 ] || run=("${run_cuda[@]}" --gpu "${ngpu}")
    made="$(stamp "seed=${model_seed}" "train_opts=${train_opts}" -- \
        "${config}" "${train}" "${feats}/${valid_set}" "${tokens}" "${targets[@]}")"
    if is_done "${out}" "${made}"; then
        log "${out}: done already"
        return
    fi
    log "${out}: training (${label}), log in ${out}/log/train.log"
    await "${run[@]}" "${out}/log/train.log" kdasr train --config "${config}" --train "${train}" --valid "${feats}/${valid_set}" \
        --tokens "${tokens}" --out "${out}" "$@" --seed "${model_seed}" --ngpu "${ngpu}" --role "${role}" --label "${label}" \
        "${espnet[@]}"
    mark_done "${out}" "${made}"
    log "${out}: trained"
}

# make_targets OUT NBEST [OPTION...]: what a student trains on
make_targets() {
    local out="$1" from="$2" made
    shift 2
    made="$(stamp "target_opts=${target_opts}" "options=$*" -- "${from}" "${tokens}" "${@:2}")"
    if is_done "${out}" "${made}"; then return; fi
    await "${run_train[@]}" "${out%/*}/log/targets.log" kdasr targets --nbest "${from}" --tokens "${tokens}" --out "${out}" \
        "$@" "${target_words[@]}"
    mark_done "${out}" "${made}"
}

# train_student KIND SEED
train_student() {
    local kind="$1" out
    out="$(student_dir "$1" "$2")"
    case "${kind}" in
        refs) train_model "${out}" student "student on references" "${student_config}" "${labelled}" "$2" ;;
        control) train_model "${out}" student "control on true labels of all audio" "${student_config}" "${train_all}" "$2" ;;
        nbest)
            make_targets "${out}/targets" "${nbest_labelled}"
            train_model "${out}" student "student on teacher N-best" "${student_config}" "${labelled}" "$2" \
                --targets "${out}/targets" --teacher "${teacher##*/}"
            ;;
        extra)
            make_targets "${out}/targets" "${nbest_unlabelled}" --refs "${labelled}/text"
            train_model "${out}" student "student on references and teacher N-best of untranscribed audio" "${student_config}" \
                "${train_all}" "$2" --targets "${out}/targets" --teacher "${teacher##*/}"
            ;;
    esac
}

# train_early: the students that need no teacher, one after the other
train_early() {
    local student_seed kind
    for student_seed in ${seeds}; do
        for kind in "${kinds[@]}"; do
            if [[ "${kind}" == @(refs|control) ]]; then train_student "${kind}" "${student_seed}"; fi
        done
    done
}

# the N-best that the students asked for learn from
nbest_labelled="${teacher}/nbest_${labelled##*/}"
nbest_unlabelled="${teacher}/nbest_${unlabelled##*/}"
nbest_dirs=()
if [[ " ${kinds[*]} " == *" nbest "* ]]; then nbest_dirs+=("${nbest_labelled}"); fi
if [[ " ${kinds[*]} " == *" extra "* ]]; then nbest_dirs+=("${nbest_unlabelled}"); fi

early=""
if begin 3 "${labelled}, ${feats}/${valid_set}" "${tokens}, ${teacher}"; then
    need 2 "${train_all}" "${labelled}" "${feats}/${valid_set}"
    if [ -d "${teacher_dir:-/nonexistent}/tokens" ]; then copy_tokens; else make_tokens; fi
    if [ -n "${teacher_dir}" ]; then
        [ -f "${teacher_dir}/config.yaml" ] || die "--teacher_dir ${teacher_dir}: no config.yaml there; expected an ESPnet ASR model's directory"
        made="$(stamp "teacher_dir=${teacher_dir}" -- "${teacher_dir}/config.yaml")"
        if is_done "${teacher}" "${made}"; then
            log "${teacher}: done already"
        else
            # links: what kdasr writes for this teacher stays out of its own directory
            mkdir -p "${teacher}"
            for file in "${teacher_dir}"/*; do ln -sfn "$(realpath "${file}")" "${teacher}/${file##*/}"; done
            mark_done "${teacher}" "${made}"
        fi
    else
        need_config teacher_config
        if "${early_students}" && [ "${ngpu}" -eq 0 ] && [ "${nj}" -ge 2 ]; then
            need_config student_config
            in_background train_early
            early="$!"
        fi
        train_model "${teacher}" teacher teacher "${teacher_config}" "${labelled}" "${seed}"
    fi
fi

if begin 4 "${teacher}, ${labelled}${unlabelled:+, ${unlabelled}}" "${nbest_dirs[*]}"; then
    need 2 "${labelled}" ${unlabelled:+"${unlabelled}"}
    need 3 "${teacher}"
    for out in "${nbest_dirs[@]}"; do
        data="${feats}/${out##*/nbest_}"
        made="$(stamp "nbest=${nbest}" "beam=${beam}" "ctc_weight=${ctc_weight}" "nbest_opts=${nbest_opts}" -- "${teacher}" "${data}")"
        if is_done "${out}" "${made}"; then
            log "${out}: done already"
            continue
        fi
        options=(--model "${teacher}" --data "${data}" --out "${out}" --beam "${beam}" --nbest "${nbest}"
            --ctc_weight "${ctc_weight}" "${inference_option[@]}" "${nbest_words[@]}")
        log "${out}: ${nbest}-best, log in ${out}/log/nbest.*.log"
        await "${run_decode[@]}" JOB=1:"${nj}" "${out}/log/nbest.JOB.log" kdasr nbest "${options[@]}" --job JOB/"${nj}"
        await "${run_decode[@]}" "${out}/log/merge.log" kdasr nbest "${options[@]}" --merge
        mark_done "${out}" "${made}"
    done
fi

if begin 5 "${labelled}, ${train_all}, ${nbest_dirs[*]}" "${models[*]:1}"; then
    need_config student_config
    need 2 "${train_all}" "${labelled}" "${feats}/${valid_set}"
    need 3 "${tokens}"
    [ "${#nbest_dirs[@]}" -eq 0 ] || need 4 "${nbest_dirs[@]}"
    [ -z "${as_refs:-}" ] || log "all audio is transcribed: the student refs is ${as_refs} too"
    # what was begun beside the teacher goes on as one of the nj processes, the others join it
    begun=""
    if [ -n "${early}" ]; then
        pool+=("${early}")
        begun="refs control"
        early=""
    fi
    for student_seed in ${seeds}; do
        for kind in "${kinds[@]}"; do
            [[ " ${begun} " == *" ${kind} "* ]] || pool_start train_student "${kind}" "${student_seed}"
        done
    done
    pool_wait
fi

# each_decoding FUNCTION: call FUNCTION MODEL TAG SET for each, and count what was done already
each_decoding() {
    local model decode_tag name
    total=0
    ready=0
    for model in "${models[@]}"; do
        for decode_tag in ${decode_tags}; do
            for name in ${test_sets}; do "$1" "${model}" "${decode_tag}" "${name}"; done
        done
    done
    log "${ready} of ${total} were done already"
    pool_wait
}

decode() { # MODEL TAG SET
    local out="$1/decode_$2/$3" made
    local search=("${beam}" "${ctc_weight}")
    case "$2" in
        greedy) search=(1 0) ;;
        beam?*) search[0]="${2#beam}" ;;
    esac
    made="$(stamp "beam=${search[0]}" "ctc_weight=${search[1]}" "decode_opts=${decode_opts}" -- "$1" "${feats}/$3")"
    total=$((total + 1))
    if is_done "${out}" "${made}"; then
        ready=$((ready + 1))
    else
        log "${out}: decoding"
        pool_start run_decoding "${out}" "${made}" --model "$1" --data "${feats}/$3" --out "${out}" \
            --beam "${search[0]}" --ctc_weight "${search[1]}" "${inference_option[@]}" "${decode_words[@]}"
    fi
}

run_decoding() { # OUT STAMP OPTION...
    local out="$1" made="$2"
    shift 2
    if [ "${decode_nj}" -eq 1 ]; then
        await "${run_decode[@]}" "${out}/log/decode.log" kdasr decode "$@" --nj 1
    else
        await "${run_decode[@]}" JOB=1:"${decode_nj}" "${out}/log/decode.JOB.log" kdasr decode "$@" --job JOB/"${decode_nj}"
        await "${run_decode[@]}" "${out}/log/merge.log" kdasr decode "$@" --merge
    fi
    mark_done "${out}" "${made}"
}

if begin 6 "${models[*]}" "${expdir}/*/decode_*/{${test_sets// /,}}"; then
    for name in ${test_sets}; do need 2 "${feats}/${name}"; done
    need 3 "${teacher}"
    need 5 "${models[@]:1}"
    each_decoding decode
fi

score() { # MODEL TAG SET
    local out="$1/decode_$2/$3" made type
    for type in wer cer; do
        made="$(stamp "type=${type}" "score_opts=${score_opts}" -- "${out}" "${nlsyms_option[@]:1}")"
        total=$((total + 1))
        if is_done "${out}/score_${type}" "${made}"; then
            ready=$((ready + 1))
        else
            need 6 "${out}"
            pool_start run_scoring "${out}" "${made}" "${type}" "${feats}/$3"
        fi
    done
}

run_scoring() { # DECODE_DIR STAMP TYPE REFERENCE_DIR
    await "${run_train[@]}" "$1/log/score_$3.log" kdasr score --ref "$4/text" --hyp "$1/text" --utt2spk "$4/utt2spk" \
        --dir "$1/score_$3" --type "$3" "${nlsyms_option[@]}" "${score_words[@]}"
    mark_done "$1/score_$3" "$2"
}

if begin 7 "${expdir}/*/decode_*/*/text" "score_wer, score_cer beside them"; then
    each_decoding score
fi

if ((first == 8 || first == 9 || last == 8 || last == 9)); then
    log "stages 8 (lm) and 9 (rescore) come with kdasr's language models; there is nothing to run for them yet"
fi

if begin 10 "${expdir}/*/decode_*/*/score_*" "${results}"; then
    shopt -s nullglob
    scores=("${expdir}"/*/decode_*/*/score_*/.done)
    shopt -u nullglob
    [ "${#scores[@]}" -gt 0 ] || die "${expdir}: no scores; run stage 7 (score) first: ./run.sh --stage 7"
    notes=()
    for name in "${corpus_note}" "${note}"; do [ -z "${name}" ] || notes+=(--note "${name}"); done
    made="$(stamp "notes=${notes[*]}" "results=${results}" -- "${scores[@]}")"
    # made anew whenever a score is new, without asking
    if [ -e "${results}" ] && [ -e "${expdir}/.done" ] && [ "$(<"${expdir}/.done")" = "${made}" ]; then
        log "${results}: done already"
    else
        await kdasr report --exp "${expdir}" --out "${results}" --command "${command_line}" "${notes[@]}" >"${expdir}/report.txt"
        mark_done "${expdir}" "${made}"
    fi
    cat "${expdir}/report.txt"
fi

if [ -n "${early}" ]; then
    log "waiting for the students that were started beside the teacher"
    wait "${early}"
fi
log "finished, $((SECONDS - started)) s"
