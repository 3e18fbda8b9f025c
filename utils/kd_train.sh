#!/usr/bin/env bash
# Stages 3 to 5 of a recipe: tokens and teacher, N-best, students. Sourced by kd.sh, whose configuration and
# names it uses.
# shellcheck disable=SC2154,SC2034

nlsyms_option=()
if [ -n "${nlsyms}" ] && [ -s "${nlsyms}" ]; then nlsyms_option=(--nlsyms "${nlsyms}"); fi

# A finished teacher's students speak its tokens.
take_tokens() {
    local made check=()
    made="$(stamp -- "${teacher_dir}/config.yaml" "${nlsyms_option[@]:1}")"
    if is_done "${tokens}" "${made}"; then
        log "${tokens}: done already"
        return
    fi
    [ ! -s "${labelled}/text" ] || check=(--check "${labelled}/text")
    await "${run_train[@]}" "${dumpdir}/tokens/log/${tokens##*/}.log" kdasr tokens --model "${teacher_dir}" --out "${tokens}" \
        "${nlsyms_option[@]}" "${check[@]}"
    mark_done "${tokens}" "${made}"
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
    if [ -n "${teacher_dir}" ]; then
        [ -f "${teacher_dir}/config.yaml" ] || die "--teacher_dir ${teacher_dir}: no config.yaml there; expected an ESPnet ASR model's directory"
        take_tokens
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
        make_tokens
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
