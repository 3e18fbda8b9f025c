#!/usr/bin/env bash
# The steps of language model distillation. Sourced by lm.sh and kd_lm.sh; each function works on what their
# configuration names: train, valid, tests (texts, a sentence a line), vocab, min_count, teacher_config,
# student_config, ce_opts, finetune, teacher_seeds, seeds, objectives, lm_opts, stored, draws, dynamic, dumpdir, expdir,
# ngpu.
# shellcheck disable=SC2154

lm_teacher_dirs() { # one a line
    local one
    for one in ${teacher_seeds}; do echo "${expdir}/teacher_s${one}${finetune:+_ft}"; done
}

on_lm() { # LOG COMMAND...: on the GPU, if there is to be one
    if [ "${ngpu}" -gt 0 ]; then await "${run_cuda[@]}" --gpu 1 "$@"; else await "${run_train[@]}" "$@"; fi
}

lm_words() {
    local words="${dumpdir}/words" file made
    for file in "${train}" "${valid}" ${tests}; do [ -f "${file}" ] || die "${file}: no such text"; done
    made="$(stamp "vocab=${vocab}" "min_count=${min_count}" -- "${train}")"
    if is_done "${words}" "${made}"; then
        log "${words}: done already"
        return
    fi
    await "${run_train[@]}" "${dumpdir}/log/words.log" kdasr lm words --text "${train}" --size "${vocab}" \
        --min_count "${min_count}" --out "${words}"
    grep -v '^#' "${dumpdir}/log/words.log" || true
    mark_done "${words}" "${made}"
}

# train_lm DIR LABEL CONFIG SEED SETTINGS [OPTION...]: the options name directories, which count as inputs
train_lm() {
    local out="$1" label="$2" config="$3" model_seed="$4" words="${dumpdir}/words" made word inputs=() settings=() set=()
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
    on_lm "${out}/train.log" kdasr lm train --conf "${config}" --words "${words}" --train "${train}" \
        --valid "${valid}" --out "${out}" --label "${label}" --seed "${model_seed}" --ngpu $((ngpu > 0)) "$@" "${set[@]}"
    mark_done "${out}" "${made}"
    log "$(tail -n 1 "${out}/log" | sed "s|^|${out}: |")"
}

# train_and_finetune DIR LABEL CONFIG SEED SETTINGS [OPTION...]
train_and_finetune() {
    train_lm "$@"
    [ -z "${finetune}" ] || train_lm "$1_ft" "$2, finetuned" "$3" "$4" "$5 ${finetune}" "${@:6}" --init "$1"
}

lm_teachers() {
    local one
    for one in ${teacher_seeds}; do
        pool_start train_and_finetune "${expdir}/teacher_s${one}" "teacher" "${teacher_config}" "${one}" ""
    done
    pool_wait
}

lm_students() {
    local one objective made soft settings how=() from=() teachers=()
    mapfile -t teachers < <(lm_teacher_dirs)
    local learn_from=(--teachers "${teachers[@]}")
    if [ "${stored}" != 0 ] && [ "${objectives}" != ce ]; then
        soft="${dumpdir}/soft_${stored}"
        if "${draws}"; then
            soft+=_draws
            how=(--draws)
        fi
        learn_from=(--soft "${soft}")
        made="$(stamp "stored=${stored}" "draws=${draws}" -- "${train}" "${teachers[@]}")"
        if ! is_done "${soft}" "${made}"; then
            on_lm "${dumpdir}/log/${soft##*/}.log" kdasr lm soft --teachers "${teachers[@]}" --text "${train}" \
                --kept "${stored/all/0}" --out "${soft}" --ngpu $((ngpu > 0)) "${how[@]}"
            grep -v '^#' "${dumpdir}/log/${soft##*/}.log" || true
            mark_done "${soft}" "${made}"
        fi
    fi
    for one in ${seeds}; do
        for objective in ${objectives}; do
            settings="objective=${objective}"
            from=("${learn_from[@]}")
            if [ "${objective}" = ce ]; then
                settings+="${ce_opts:+ ${ce_opts}}"
                from=()
            fi
            pool_start train_and_finetune "${expdir}/student_${objective}_s${one}" "student, ${objective}" \
                "${student_config}" "${one}" "${settings}" "${from[@]}"
        done
    done
    pool_wait
}

lm_models() { # the finished ones, one a line
    local one
    for one in "${expdir}"/teacher_s*/.done "${expdir}"/student_*/.done; do
        [ ! -e "${one}" ] || echo "${one%/.done}"
    done
}

perplexity_of() { # NAME MODEL...
    local out="${expdir}/$1/ppl" made texts options
    shift
    read -ra texts <<<"${valid} ${tests}"
    made="$(stamp "dynamic=${dynamic}" -- "${texts[@]}" "$@")"
    if is_done "${out}" "${made}"; then return; fi
    options=(--text "${texts[@]}" --out "${out}" --ngpu $((ngpu > 0)))
    on_lm "${out}/ppl.log" kdasr lm ppl --model "$@" "${options[@]}"
    if "${dynamic}" && [ $# -eq 1 ]; then
        on_lm "${out}/dynamic.log" kdasr lm ppl --model "$1" "${options[@]}" --dynamic "${train}"
    fi
    mark_done "${out}" "${made}"
}

lm_perplexities() {
    local one models=() teachers=()
    mapfile -t models < <(lm_models)
    mapfile -t teachers < <(lm_teacher_dirs)
    pool_start perplexity_of ensemble "${teachers[@]}"
    for one in "${models[@]}"; do pool_start perplexity_of "${one##*/}" "${one}"; done
    pool_wait
}

lm_report() { # NOTE...: the table
    local text notes=()
    for text in "$@"; do [ -z "${text}" ] || notes+=(--note "${text}"); done
    await kdasr lm report --exp "${expdir}" --out "${results}" --command "${command_line}" "${notes[@]}"
}
