#!/usr/bin/env bash
# Framewise acoustic models (Hinton, Vinyals and Dean 2015, sections 4 and 5): an alignment by the recipe's teacher,
# several models of its states, one distilled from them together, models that see little, specialists, and a table. It
# works in the recipe's directory, after stages 1 to 3 of its run.sh.
# shellcheck disable=SC2317  # functions that pool_start calls
set -euo pipefail
recipe="./frames.sh" # for messages

# Begin configuration section.
stage=1              # first stage, by number or name
stop_stage=8         # last stage, by number or name
nj=2                 # processes that run side by side, one thread each
submit=""            # slurm: hand the stages over to the cluster, a job each, one after the other, and return
train_set=train      # set of data/ to learn from
valid_set=dev        # set to choose epochs and weights by
test_sets="test"     # sets to predict, decode and score
aligner=exp/teacher_s1  # ESPnet model with a CTC branch that aligns (the recipe's teacher)
bins=40              # log-mel bins of a frame
speed=""             # speed factors of the training audio, as in 0.9,1.0,1.1 (empty: as it is)
frames_opts="--positions 1 --min_count 100 --reach 8"  # options of kdasr frames data for the training set
frames_config=conf/frames.yaml  # configuration of all these models
baseline_seeds="1 2 3 4 5 6 7 8 9 10"  # a model for each; together they are the ensemble
temperatures="1 2 5 10"  # of the models distilled from it, the first seed of each
main=2               # the temperature of which there is a model for each of --seeds
distil_opts="epochs=10 drop_hidden=0.0"  # further settings of these: soft targets bear longer training, and keep from overfitting
seeds="1 2 3"        # of these, and of the models that see a share
share=0.03           # share of the training set that some see, on labels and on soft targets (0: no such models)
few_opts="epochs=60" # further settings of these: an epoch is short for them
groups=8             # groups of confusable states, a specialist each (0: none)
specialist_opts="--epochs 1"  # further options of kdasr frames specialists
model_opts=""        # further settings of every model, as in "epochs=5"
score_opts=""        # options of kdasr score, as in --wsj_filter
nlsyms=""            # file of non-linguistic symbols, left out of scores
datadir=data         # Kaldi data directories
dumpdir=dump/frames  # features, alignments and frames
expdir=exp/frames    # models and results
results=RESULTS_FRAMES.md  # the table
note=""              # a sentence that the table carries
corpus_note=""       # another, on the corpus (the recipe's frames.sh fills it in)
# End configuration section.

# shellcheck disable=SC2034  # read by kd_steps.sh
names=("" align baseline ensemble distil few specialist score report)
# shellcheck disable=SC2034  # read by parse_options.sh
help_message="Usage: ./frames.sh [options]                      (in egs/wsj, egs/an4)

Distils framewise acoustic models. Stages, by number or name:
   1 align       data/SET, the recipe's teacher -> DUMPDIR/SET: which state each frame is of
   2 baseline    -> EXPDIR/baseline_s*, one for each of --baseline_seeds
   3 ensemble    -> EXPDIR/ensemble/predict_*: what they expect together, the soft targets among it
   4 distil      -> EXPDIR/distilled_T*_s*; EXPDIR/long_s*, the control: as long, on labels
   5 few         -> EXPDIR/hard_s*, EXPDIR/soft_s*: on --share of the training set
   6 specialist  -> EXPDIR/specialists_s*: beside the first baseline
   7 score       -> EXPDIR/*/predict_SET/decode: words, and their error rates
   8 report      -> the table

  ./run.sh --stop_stage 3 && ./frames.sh --nj 2   # run again, it goes on where it was stopped
  ./frames.sh --baseline_seeds '1 2 3' --model_opts 'epochs=3'
  ./frames.sh --submit slurm --nj 8               # on a cluster; kdasr jobs status exp/frames shows how the stages stand"

words=("$@") # for --submit
command_line="${KDASR_COMMAND:-${BASH_SOURCE[0]}${*:+$(printf ' %q' "$@")}}"
utils="$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=utils/kd_steps.sh
. "${utils}/kd_steps.sh"
# shellcheck source=utils/submit_stages.sh
. "${utils}/submit_stages.sh"
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_program="${KDASR_COMMAND:+frames.sh}"
# shellcheck source=utils/parse_options.sh
. "${utils}/parse_options.sh"
[ $# -eq 0 ] || die "$1: options begin with -- and take one value; ./frames.sh --help lists them"
which_stages
[ -f "${frames_config}" ] || die "${frames_config}: no such file; name the configuration with --frames_config"
[[ " ${temperatures} " == *" ${main} "* ]] || die "--main ${main}: is none of --temperatures ${temperatures}"
submit_to
recipe_commands
read -ra frames_words <<<"${frames_opts}"
read -ra score_words <<<"${score_opts}"
now="${first}"
if [ -n "${submit}" ]; then
    submit_stages "$(seq -s ' ' "${first}" "${last}")" "${BASH_SOURCE[0]}" "${words[@]}"
    exit
fi
start_run

train="${dumpdir}/${train_set}"
evaluated=("${valid_set}")
for name in ${test_sets}; do [ "${name}" = "${valid_set}" ] || evaluated+=("${name}"); done
baselines=()
for one in ${baseline_seeds}; do baselines+=("${expdir}/baseline_s${one}"); done
nlsyms_option=()
if [ -n "${nlsyms}" ]; then nlsyms_option=(--nlsyms "${nlsyms}"); fi

# ------------------------------------------------------------------------------------------ steps

# frames_of SET: features as the aligner takes them and of our own bins, the alignment, and the frames
frames_of() {
    local name="$1" out="${dumpdir}/$1" data="${datadir}/$1" made log like=() inputs=() speeds=()
    if [ "${name}" = "${train_set}" ]; then
        like=("${frames_words[@]}")
        [ -z "${speed}" ] || speeds=(--speed "${speed}")
    else
        like=(--like "${train}")
        inputs=("${train}")
    fi
    # another's model has no record of its own
    [ -e "${aligner}/.done" ] || inputs+=("${aligner}/config.yaml")
    made="$(stamp "bins=${bins}" "speed=${speeds[*]}" "frames_opts=${frames_opts}" -- "${data}/wav.scp" "${data}/text" \
        "${data}/segments" "${aligner}" "${inputs[@]}")"
    if is_done "${out}" "${made}"; then
        log "${out}: done already"
        return
    fi
    log="${out}/log"
    await "${run_decode[@]}" "${log}/feats.log" kdasr feats --data "${data}" --out "${dumpdir}/aligner/${name}" \
        --nj 1 "${speeds[@]}"
    await "${run_decode[@]}" "${log}/bins.log" kdasr feats --data "${data}" --out "${dumpdir}/fbank/${name}" \
        --bins "${bins}" --nj 1 "${speeds[@]}"
    await "${run_decode[@]}" "${log}/align.log" kdasr frames align --model "${aligner}" --data "${dumpdir}/aligner/${name}" \
        --out "${dumpdir}/alignment/${name}"
    await "${run_decode[@]}" "${log}/data.log" kdasr frames data --feats "${dumpdir}/fbank/${name}" \
        --alignment "${dumpdir}/alignment/${name}" --out "${out}" "${like[@]}"
    mark_done "${out}" "${made}"
    log "$(grep -F "${out}: " "${log}/data.log" | tail -n 1)"
}

# train_one NAME LABEL SEED SETTINGS [OPTION...]: EXPDIR/NAME, from soft targets if OPTION says so
train_one() {
    local out="${expdir}/$1" label="$2" model_seed="$3" made settings=() set=() inputs=()
    read -ra settings <<<"$4 ${model_opts}"
    shift 4
    if [[ " $* " == *" --soft "* ]]; then inputs=("${soft}"); fi
    [ "${#settings[@]}" -eq 0 ] || set=(--set "${settings[@]}")
    made="$(stamp "seed=${model_seed}" "set=${settings[*]}" "options=$*" -- "${frames_config}" "${train}" "${dumpdir}/${valid_set}" \
        "${inputs[@]}")"
    if is_done "${out}" "${made}"; then
        log "${out}: done already"
        return
    fi
    log "${out}: training, log in ${out}/train.log"
    await "${run_train[@]}" "${out}/train.log" kdasr frames train --data "${train}" --valid "${dumpdir}/${valid_set}" \
        --conf "${frames_config}" --out "${out}" --label "${label}" --seed "${model_seed}" "$@" "${set[@]}"
    mark_done "${out}" "${made}"
    log "$(grep -F "${out}: " "${out}/train.log" | tail -n 1)"
}

# predict OUT SET MODEL...
predict() {
    local out="$1" data="${dumpdir}/$2" made
    shift 2
    made="$(stamp -- "${data}" "$@")"
    if is_done "${out}" "${made}"; then return; fi
    await "${run_decode[@]}" "${out}/predict.log" kdasr frames predict --models "$@" --data "${data}" --out "${out}"
    mark_done "${out}" "${made}"
    log "$(grep -F "${out}: " "${out}/predict.log" | tail -n 1)"
}

# The first baseline's weights of the language model serve all: what differs between rows is the network.
weights="${baselines[0]}/predict_${valid_set}/decode/weights.json"

# score_one NAME MODEL...: predictions of every set, words, and their error rates
score_one() {
    local place="${expdir}/$1" name out made options inputs
    shift
    for name in "${evaluated[@]}"; do # the validation set is the first of them
        predict "${place}/predict_${name}" "${name}" "$@"
        out="${place}/predict_${name}/decode"
        options=(--weights "${weights}")
        inputs=("${place}/predict_${name}" "${train}" "${weights}")
        if [ "${out}" = "${weights%/*}" ]; then
            options=(--tune "${datadir}/${name}/text")
            unset 'inputs[-1]'
        fi
        made="$(stamp -- "${inputs[@]}")"
        if ! is_done "${out}" "${made}"; then
            await "${run_decode[@]}" "${out}.log" kdasr frames decode --predictions "${place}/predict_${name}" \
                --data "${dumpdir}/${name}" --train "${train}" --out "${out}" "${options[@]}"
            mark_done "${out}" "${made}"
        fi
        made="$(stamp "score_opts=${score_opts}" -- "${out}" "${datadir}/${name}/utt2spk" "${nlsyms_option[@]:1}")"
        is_done "${out}/score_wer" "${made}" && continue
        await "${run_train[@]}" "${out}.score.log" kdasr score --ref "${datadir}/${name}/text" --hyp "${out}/text" \
            --utt2spk "${datadir}/${name}/utt2spk" --dir "${out}/score_wer" --type wer "${nlsyms_option[@]}" "${score_words[@]}"
        mark_done "${out}/score_wer" "${made}"
    done
    log "${place}: scored"
}

specialists() {
    local general="${baselines[0]}" test_set="${test_sets##* }" out made options=()
    out="${expdir}/specialists_${general##*_}"
    read -ra options <<<"${specialist_opts}"
    made="$(stamp "groups=${groups}" "options=${specialist_opts}" -- "${train}" "${dumpdir}/${test_set}" "${general}")"
    if is_done "${out}" "${made}"; then
        log "${out}: done already"
        return
    fi
    await "${run_train[@]}" "${out}/train.log" kdasr frames specialists --data "${train}" --test "${dumpdir}/${test_set}" \
        --generalist "${general}" --groups "${groups}" --out "${out}" "${options[@]}"
    mark_done "${out}" "${made}"
    log "$(grep -F "${out}: " "${out}/train.log" | tail -n 1)"
}

# ------------------------------------------------------------------------------------------ stages

# what all models expect of the training set together
soft="${expdir}/ensemble/predict_${train_set}"
# In braces: the shell reads to the last of them before it begins, so that this file may change under a long run.
{
    if begin 1 "${datadir}/{${train_set},${evaluated[*]}}, ${aligner}" "${dumpdir}"; then
        [ -f "${aligner}/config.yaml" ] ||
            die "${aligner}: no model is there; train the teacher first: ./run.sh --stop_stage 3 (or name one with --aligner)"
        frames_of "${train_set}"
        for name in "${evaluated[@]}"; do pool_start frames_of "${name}"; done
        pool_wait
    fi

    if begin 2 "${train}" "${baselines[*]}"; then
        need 1 "${train}" "${dumpdir}/${valid_set}"
        for one in ${baseline_seeds}; do pool_start train_one "baseline_s${one}" baseline "${one}" ""; done
        pool_wait
    fi

    if begin 3 "${baselines[*]}" "${expdir}/ensemble"; then
        need 2 "${baselines[@]}"
        predict "${soft}" "${train_set}" "${baselines[@]}"
    fi

    if begin 4 "${train} ${soft}" "${expdir}/distilled_* ${expdir}/long_*"; then
        need 3 "${soft}"
        pool_start train_one "long_s${seeds%% *}" "baseline trained as long as distilled" "${seeds%% *}" "${distil_opts}"
        for temperature in ${temperatures}; do
            of="${seeds%% *}"
            [ "${temperature}" != "${main}" ] || of="${seeds}"
            for one in ${of}; do
                pool_start train_one "distilled_T${temperature}_s${one}" distilled "${one}" "${distil_opts} temperature=${temperature}" \
                    --soft "${soft}"
            done
        done
        pool_wait
    fi

    if [ "${share}" != 0 ] && begin 5 "${train} ${soft}" "${expdir}/hard_* ${expdir}/soft_*"; then
        need 3 "${soft}"
        for one in ${seeds}; do
            pool_start train_one "hard_s${one}" hard "${one}" "${few_opts}" --share "${share}"
            pool_start train_one "soft_s${one}" soft "${one}" "${few_opts} temperature=${main}" --share "${share}" --soft "${soft}"
        done
        pool_wait
    fi

    if [ "${groups}" -gt 0 ] && begin 6 "${train} ${baselines[0]}" "${expdir}/specialists_*"; then
        need 2 "${baselines[0]}"
        specialists
    fi

    if begin 7 "${expdir}/*" "${expdir}/*/predict_*"; then
        for name in "${evaluated[@]}"; do need 1 "${dumpdir}/${name}"; done
        need 2 "${baselines[@]}"
        score_one "${baselines[0]##*/}" "${baselines[0]}"
        pool_start score_one ensemble "${baselines[@]}"
        for one in "${expdir}"/*/kdasr.json; do
            [ "${one%/*}" != "${baselines[0]}" ] || continue
            need 4 "${one%/*}"
            pool_start score_one "$(basename "${one%/*}")" "${one%/*}"
        done
        pool_wait
    fi

    if begin 8 "${expdir}/*" "${results}"; then
        need 7 "${expdir}/ensemble/predict_${valid_set}/decode/score_wer"
        notes=()
        for text in "${corpus_note}" "${note}"; do [ -z "${text}" ] || notes+=(--note "${text}"); done
        await kdasr frames report --exp "${expdir}" --out "${results}" --command "${command_line}" "${notes[@]}"
    fi
    log "finished, $((SECONDS - started)) s"
    exit 0
}
