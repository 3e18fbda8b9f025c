#!/usr/bin/env bash
# Stages 8 and 9 of a recipe: language models, and N-best lists ranked anew by them. Sourced by kd.sh, whose
# configuration and names it uses.
# shellcheck disable=SC2154

# shellcheck source=utils/lm_steps.sh
. "${utils}/lm_steps.sh"

lm_text="${dumpdir}/lm/text"

# lm_with FUNCTION...: with what the functions of lm_steps.sh are configured by
lm_with() {
    # shellcheck disable=SC2034
    local train="${lm_text}/train.txt" valid="${lm_text}/valid.txt" tests="${lm_text}/test.txt" \
        vocab="${lm_vocab}" min_count="${lm_min_count}" teacher_config="${lm_teacher_config}" \
        student_config="${lm_student_config}" teacher_seeds="${lm_teacher_seeds}" seeds="${lm_seeds}" \
        objectives="${lm_objectives}" ce_opts="${lm_ce_opts}" finetune="" stored="${lm_stored}" draws=false dynamic=false \
        dumpdir="${dumpdir}/lm" expdir="${expdir}/lm" results="${lm_results}"
    "$@"
}

lm_texts() {
    local made words name refs=()
    mapfile -t refs < <(printf "${feats}/%s/text\n" "${other_sets[@]}")
    if [ -n "${lm_text_opts}" ]; then
        made="$(stamp "lm_text_opts=${lm_text_opts}" -- "${refs[@]}")"
        if is_done "${lm_text}" "${made}"; then
            log "${lm_text}: done already"
            return
        fi
        split words "${lm_text_opts}"
        await "${run_train[@]}" "${dumpdir}/lm/log/text.log" kdasr data text --out "${lm_text}" "${words[@]}" \
            --without "${refs[@]}"
        grep -v '^#' "${dumpdir}/lm/log/text.log" || true
    else
        made="$(stamp -- "${labelled}" "${datadir}/${train_set}/text" "${refs[@]}")"
        if is_done "${lm_text}" "${made}"; then
            log "${lm_text}: done already"
            return
        fi
        log "${lm_text}: the transcripts of ${labelled}, to be validated on those of ${valid_set}"
        mkdir -p "${lm_text}"
        # of copies at other speeds the one that data/ has is taken
        awk 'NR == FNR { kept[$1]; next } $1 in kept' "${labelled}/text" "${datadir}/${train_set}/text" |
            lm_sentences >"${lm_text}/train.txt.tmp"
        lm_sentences <"${feats}/${valid_set}/text" >"${lm_text}/valid.txt.tmp"
        for name in ${test_sets}; do lm_sentences <"${feats}/${name}/text"; done >"${lm_text}/test.txt.tmp"
        for name in train valid test; do mv "${lm_text}/${name}.txt.tmp" "${lm_text}/${name}.txt"; done
    fi
    mark_done "${lm_text}" "${made}"
}

lm_sentences() { # transcripts -> sentences, those that are empty left out
    awk 'NF > 1 { sub(/^[^ ]+ +/, ""); print }'
}

if lm_wanted && begin 8 "text of the recipe, or transcripts" "${dumpdir}/lm, ${expdir}/lm"; then
    need_config lm_teacher_config
    need_config lm_student_config
    for name in "${other_sets[@]}"; do need 2 "${feats}/${name}"; done
    lm_texts
    for step in lm_words lm_teachers lm_students lm_perplexities; do lm_with "${step}"; done
fi

# ------------------------------------------------------------------------------------------ rescoring

# recogniser NAME: the model directory of "teacher" or of an objective's first student, of the first configuration
recogniser() {
    if [ "$1" = teacher ]; then echo "${teacher}"; else student_config="${student_list[0]}" student_dir "$1" "${seeds%% *}"; fi
}

first_pass="${expdir}/lm/first_pass"
split rescore_words "${rescore_opts}"
filter_option=()
if [[ " ${score_words[*]} " == *" --wsj_filter "* ]]; then filter_option=(--wsj_filter); fi

# rescore_lists NAME RECOGNISER [LM...]: the lists of all sets ranked by the mean of some language models (none: as
# they stand), with weights tuned on the validation set; and scored
rescore_lists() {
    local place="${expdir}/lm/$1/rescore_$2" lists="${first_pass}/nbest_$2" data_set out made options inputs settings
    shift 2
    for data_set in "${other_sets[@]}"; do # the validation set is the first of them
        out="${place}/${data_set}"
        options=(--nbest "${lists}/${data_set}" --out "${out}")
        inputs=("${lists}/${data_set}" "$@")
        settings=()
        if [ $# -gt 0 ]; then
            options+=(--lm "lm=$(IFS=+ && echo "$*")" "${inference_option[@]}")
            if [ "${data_set}" = "${valid_set}" ]; then
                options+=(--tune "${feats}/${data_set}/text" "${nlsyms_option[@]}" "${filter_option[@]}" "${rescore_words[@]}")
                inputs+=("${feats}/${data_set}" "${nlsyms_option[@]:1}")
                settings=("rescore_opts=${rescore_opts}" ${filter_option[0]:+"filter=${filter_option[*]}"})
            else
                options+=(--weights "${place}/${valid_set}/weights.json")
                inputs+=("${place}/${valid_set}")
            fi
        fi
        made="$(stamp "${settings[@]}" -- "${inputs[@]}")"
        if ! is_done "${out}" "${made}"; then
            await "${run_decode[@]}" "${place}/log/${data_set}.log" kdasr rescore "${options[@]}"
            mark_done "${out}" "${made}"
        fi
        made="$(stamp "type=wer" "score_opts=${score_opts}" -- "${out}" "${nlsyms_option[@]:1}")"
        is_done "${out}/score_wer" "${made}" || run_scoring "${out}" "${made}" wer "${feats}/${data_set}"
    done
    log "${place}: done"
}

if lm_wanted && begin 9 "${expdir}/lm, ${test_sets}" "${expdir}/lm/*/rescore_*, ${lm_results}"; then
    mapfile -t lm_teachers < <(lm_with lm_teacher_dirs)
    mapfile -t lms < <(lm_with lm_models)
    need 8 "${lm_teachers[@]}"
    for name in ${rescore}; do
        if [ "${name}" = teacher ]; then need 3 "${teacher}"; else need 5 "$(recogniser "${name}")"; fi
        for data_set in "${other_sets[@]}"; do
            need 2 "${feats}/${data_set}"
            write_nbest "${first_pass}/nbest_${name}/${data_set}" "${feats}/${data_set}" "${rescore_beam}" "${rescore_beam}" \
                "$(recogniser "${name}")"
        done
        pool_start rescore_lists first_pass "${name}"
        pool_start rescore_lists ensemble "${name}" "${lm_teachers[@]}"
        for one in "${lms[@]}"; do pool_start rescore_lists "${one##*/}" "${name}" "${one}"; done
        pool_wait
    done
    lm_with lm_report "${corpus_note}" "${note}"
fi
