#!/usr/bin/env bash
# Stages 1 and 2 of a recipe: corpus, features. Sourced by kd.sh, whose configuration and
# names it uses.
# shellcheck disable=SC2154,SC2034

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
    local options=(--data "${data}" --out "${out}" --cmvn "${cmvn}") settings=("cmvn=${cmvn}" "speed=${3:-}")
    [ -z "${3:-}" ] || options+=(--speed "$3")
    if [ -n "${min_duration}" ]; then
        options+=(--min_duration "${min_duration}")
        settings+=("min_duration=${min_duration}")
    fi
    if [ "${feats_type}" != fbank ]; then
        options+=(--type "${feats_type}")
        settings+=("feats_type=${feats_type}")
    fi
    need 1 "${data}/wav.scp" "${data}/utt2spk"
    made="$(stamp "${settings[@]}" -- "${data}/wav.scp" "${data}/text" "${data}/utt2spk" "${data}/segments")"
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
    if "${crossfits}"; then
        made="$(stamp "folds=${folds}" -- "${labelled}")"
        if is_done "${fold_dir}" "${made}"; then
            log "${fold_dir}: done already"
        else
            log "${labelled}: ${folds} parts of it into ${fold_dir}, for teachers that have not heard what they decode"
            await "${run_train[@]}" "${feats}/log/folds.log" kdasr data folds "${labelled}" --folds "${folds}" --out "${fold_dir}"
            for ((n = 1; n <= folds; n++)); do
                mark_done "${fold_dir}/fold${n}" "${made}"
                mark_done "${fold_dir}/rest${n}" "${made}"
            done
            mark_done "${fold_dir}" "${made}"
        fi
    fi
fi
