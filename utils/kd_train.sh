#!/usr/bin/env bash
# Stages 3 to 5 of a recipe: tokens and teachers, N-best, students. Sourced by kd.sh, whose configuration and
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

need_config() { # NAME of the option, [NAME of the variable]
    [ -f "${!2:-${!1}}" ] || die "--$1 ${!2:-${!1}}: no such file; there are: $(echo conf/*.yaml)"
}

need_configs() { # of the students
    local file
    for file in "${student_list[@]}"; do need_config student_configs file; done
    for file in "${tune_list[@]}"; do need_config tune_configs file; done
}

# train_model DIR ROLE LABEL CONFIG TRAIN SEED [OPTION...]: options of kdasr train; those that name a directory (or
# pruning) count as its inputs, the others as its settings
train_model() {
    local out="$1" role="$2" label="$3" config="$4" train="$5" model_seed="$6" made word last="" inputs=() settings=()
    local run=("${run_train[@]}") espnet=() nodes=()
    shift 6
    for word in "$@"; do
        case "${last}" in
            --targets | --init) inputs+=("${word}") ;;
            --mask) inputs+=("${word%/*}") ;;
            --teacher) ;;
            *) [[ "${word}" == --* ]] || settings+=("${word}") ;;
        esac
        if [[ "${word}" == --* ]]; then last="${word}"; fi
    done
    [ "${#train_words[@]}" -eq 0 ] || espnet=(-- "${train_words[@]}")
    [ "${ngpu}" -eq 0 ] || run=("${run_cuda[@]}" --gpu "${ngpu}")
    if [ "${num_nodes}" -gt 1 ]; then
        run+=(--num_nodes "${num_nodes}")
        nodes=(--nodes "${num_nodes}")
    fi
    made="$(stamp "seed=${model_seed}" "train_opts=${train_opts}" ${settings[0]:+"kd=${settings[*]}"} -- \
        "${config}" "${train}" "${feats}/${valid_set}" "${tokens}" "${inputs[@]}")"
    if is_done "${out}" "${made}"; then
        log "${out}: done already"
        return
    fi
    log "${out}: training (${label}), log in ${out}/log/train.log"
    await "${run[@]}" "${out}/log/train.log" kdasr train --config "${config}" --train "${train}" --valid "${feats}/${valid_set}" \
        --tokens "${tokens}" --out "${out}" "$@" --seed "${model_seed}" --ngpu "${ngpu}" "${nodes[@]}" --role "${role}" --label "${label}" \
        "${espnet[@]}"
    mark_done "${out}" "${made}"
    log "${out}: trained"
}

# make_targets: what an objective's students learn from, soft targets included
make_targets() {
    local out made from=() options=() soft=() frames=() references="${labelled}"
    out="$(targets_dir)"
    [ -n "${out}" ] || return 0
    mapfile -t from < <(archives)
    case "${learn}" in
        refs | control) options=(--refs "$(train_set_of)/text") ;;
        extra) options=(--nbest "${from[@]}" --refs "${labelled}/text") ;;
        *) options=(--nbest "${from[@]}" --against "${labelled}/text") ;;
    esac
    split select_words "${select}"
    if [ "${learn}" = control ]; then references="$(train_set_of)"; fi
    if [ -n "${kd}" ]; then mapfile -t soft < <(ensemble); fi
    if [[ " ${kd}" == *" ctc_word_weight="* ]]; then frames=(--ctc); fi
    made="$(stamp "target_opts=${target_opts}" "select=${select}" ${kd:+"soft=${kept} ${frames[*]}"} -- \
        "${from[@]}" "${tokens}" "${references}" "${soft[@]}")"
    if is_done "${out}" "${made}"; then
        log "${out}: done already"
        return
    fi
    log "${out}: selecting targets, log in ${teacher}/log/${out##*/}.log"
    await "${run_train[@]}" "${teacher}/log/${out##*/}.log" kdasr targets "${options[@]}" --tokens "${tokens}" --out "${out}" \
        "${select_words[@]}" "${target_words[@]}"
    sed 's/^/  /' "${teacher}/log/${out##*/}.log" | grep -v '^  #' || true
    if [ -n "${kd}" ]; then
        await "${run_decode[@]}" "${teacher}/log/soft_${objective}.log" kdasr soft --model "${soft[@]}" --targets "${out}" \
            --data "$(train_set_of)" --kept "${kept}" "${frames[@]}" "${inference_option[@]}"
    fi
    mark_done "${out}" "${made}"
}

# network_name: what the table calls the network of ${student_config}: what its configuration's name has that the
# teacher's has not. conf/mini_student.yaml beside conf/mini_teacher.yaml: nothing; conf/mini_long_student.yaml: long.
network_name() {
    local name of_teacher
    name="$(conf_name "${student_config}" student)"
    of_teacher="$(conf_name "${teacher_config}" teacher)"
    if [[ "${name}_" == "${of_teacher}_"* ]]; then name="${name#"${of_teacher}"}"; fi
    echo "${name#_}"
}

# train_student SEED: one student of an objective, of the network of ${student_config}
train_student() {
    local out options=() learnt before="" kind="${config:-${init:+tune}}" file n name
    case "${kind:-student}" in
        student) file="${student_config}" ;;
        tune) for n in "${!student_list[@]}"; do [ "${student_list[n]}" != "${student_config}" ] || file="${tune_list[n]}"; done ;;
        teacher) file="${teacher_config}" ;;
    esac
    if [ "${kind}" != teacher ]; then # the table tells networks apart
        name="$(network_name)"
        label="${name:+${name}: }${label}"
    fi
    out="$(student_dir "${objective}" "$1")"
    learnt="$(targets_dir)"
    if [ -n "${learnt}" ]; then options+=(--targets "${learnt}"); fi
    if [ -n "${learnt}" ] || begins_with_teacher; then options+=(--teacher "${teacher##*/}"); fi
    if [ -n "${kd}" ]; then
        read -ra words <<<"${kd}"
        options+=(--kd "${words[@]}")
    fi
    if [ -n "${init}" ]; then
        before="${teacher}"
        [ "${init}" = teacher ] || before="$(student_dir "${init}" "$1")"
        if [ -n "${prune}" ]; then
            prune_student "${before}" "${out}/pruned"
            before="${out}/pruned"
        fi
        options+=(--init "${before}")
        # what was pruned once stays so
        if [ -f "${before}/mask.pth" ]; then options+=(--mask "${before}/mask.pth"); fi
    fi
    train_model "${out}" student "${label}" "${file}" "$(train_set_of)" "$1" "${options[@]}"
}

prune_student() { # FROM OUT
    local made words=()
    read -ra words <<<"${prune}"
    made="$(stamp "prune=${prune}" -- "$1")"
    if is_done "$2" "${made}"; then return; fi
    await "${run_train[@]}" "${2%/*}/log/prune.log" kdasr prune --model "$1" "${words[@]}" --out "$2"
    mark_done "$2" "${made}"
}

# Whether an objective's student can be trained before there is a teacher.
needs_no_teacher() {
    [ -z "${kd}${init}" ] && [[ "${learn}" == @(refs|control) ]]
}

# train_early: the students that need no teacher, one after the other
train_early() {
    local student_seed name student_config
    for student_seed in ${seeds}; do
        for name in "${objectives[@]}"; do
            with_objective "${name}" needs_no_teacher || continue
            for student_config in "${student_list[@]}"; do with_objective "${name}" train_student "${student_seed}"; done
        done
    done
}

early=""
if begin 3 "${labelled}, ${feats}/${valid_set}" "${tokens}, ${teacher_models[*]}"; then
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
            need_configs
            in_background train_early
            early="$!"
        fi
        for ((n = 0; n < most_teachers; n++)); do
            pool_start train_model "${teacher_models[n]}" teacher teacher "${teacher_config}" "${labelled}" "$((seed + n))"
        done
        if "${crossfits}"; then
            for ((n = 1; n <= folds; n++)); do
                pool_start train_model "$(fold_teacher "${n}")" teacher "teacher without fold ${n} of ${folds}" \
                    "${teacher_config}" "${fold_dir}/rest${n}" "${seed}"
            done
        fi
        pool_wait
    fi
fi

# write_nbest OUT DATA BEAM NBEST MODEL...: the lists of a set, by a model or several together
write_nbest() {
    local out="$1" data="$2" search_beam="$3" search_nbest="$4" made options
    shift 4
    made="$(stamp "nbest=${search_nbest}" "beam=${search_beam}" "ctc_weight=${ctc_weight}" "nbest_opts=${nbest_opts}" -- \
        "$@" "${data}")"
    if is_done "${out}" "${made}"; then
        log "${out}: done already"
        return
    fi
    options=(--model "$@" --data "${data}" --out "${out}" --beam "${search_beam}" --nbest "${search_nbest}"
        --ctc_weight "${ctc_weight}" "${inference_option[@]}" "${nbest_words[@]}")
    log "${out}: ${search_nbest}-best, log in ${out}/log/nbest.*.log"
    await "${run_decode[@]}" JOB=1:"${nj}" "${out}/log/nbest.JOB.log" kdasr nbest "${options[@]}" --job JOB/"${nj}"
    await "${run_decode[@]}" "${out}/log/merge.log" kdasr nbest "${options[@]}" --merge
    mark_done "${out}" "${made}"
}

if begin 4 "${teacher}, ${labelled}${unlabelled:+, ${unlabelled}}" "${archive_dirs[*]}"; then
    need 2 "${labelled}" ${unlabelled:+"${unlabelled}"}
    for out in "${archive_dirs[@]}"; do
        read -r search_beam search_nbest <<<"${archive_search[${out}]}"
        mapfile -t searchers <<<"${archive_models[${out}]}"
        need 2 "${archive_data[${out}]}"
        need 3 "${searchers[@]}"
        write_nbest "${out}" "${archive_data[${out}]}" "${search_beam}" "${search_nbest}" "${searchers[@]}"
    done
fi

if begin 5 "${labelled}, ${train_all}, ${archive_dirs[*]}" "${student_models[*]}"; then
    need_configs
    need 2 "${train_all}" "${labelled}" "${feats}/${valid_set}"
    need 3 "${tokens}"
    [ "${#archive_dirs[@]}" -eq 0 ] || need 4 "${archive_dirs[@]}"
    [ -z "${left_out}" ] || log "all audio is transcribed: without ${left_out}, which learn from the rest"
    for name in "${selections[@]}"; do pool_start with_objective "${name}" make_targets; done
    pool_wait
    # what was begun beside the teacher goes on as one of the nj processes, the others join it
    begun=false
    if [ -n "${early}" ]; then
        pool+=("${early}")
        begun=true
        early=""
    fi
    # students that go on from others are trained when those are finished
    last_round=0
    for name in "${objectives[@]}"; do
        if [ "${rounds[${name}]}" -gt "${last_round}" ]; then last_round="${rounds[${name}]}"; fi
    done
    for ((round = 0; round <= last_round; round++)); do
        for student_seed in ${seeds}; do
            for name in "${objectives[@]}"; do
                [ "${rounds[${name}]}" -eq "${round}" ] || continue
                if "${begun}" && with_objective "${name}" needs_no_teacher; then continue; fi
                for student_config in $(with_objective "${name}" its_configs); do
                    pool_start with_objective "${name}" train_student "${student_seed}"
                done
            done
        done
        pool_wait
    done
fi
