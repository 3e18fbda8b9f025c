#!/usr/bin/env bash
# Stages 6 to 10 of a recipe: decoding, scores, language models (in kd_lm.sh), table. Sourced by kd.sh, whose configuration and
# names it uses.
# shellcheck disable=SC2154,SC2034

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

# perplexity on references, once for all decode tags
perplexity() { # MODEL TAG SET
    local out="$1/ppl/$3" made
    [ "$2" = "${decode_tags%% *}" ] || return 0
    made="$(stamp -- "$1" "${feats}/$3")"
    total=$((total + 1))
    if is_done "${out}" "${made}"; then
        ready=$((ready + 1))
    else
        pool_start run_perplexity "${out}" "${made}" --model "$1" --data "${feats}/$3" --out "${out}.json"
    fi
}

run_perplexity() { # DIR STAMP OPTION...
    await "${run_decode[@]}" "$1/log/ppl.log" kdasr ppl "${@:3}" "${inference_option[@]}"
    mark_done "$1" "$2"
}

if begin 6 "${models[*]}" "${expdir}/*/decode_*/{${test_sets// /,}}"; then
    for name in ${test_sets}; do need 2 "${feats}/${name}"; done
    need 3 "${teacher_models[@]}"
    need 5 "${student_models[@]}"
    each_decoding decode
    if "${ppl}"; then
        log "perplexities: ${models[*]}"
        each_decoding perplexity
    fi
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

# shellcheck source=utils/kd_lm.sh
. "${utils}/kd_lm.sh"

if begin 10 "${expdir}/*/decode_*/*/score_*" "${results} ${expdir}/report.html"; then
    shopt -s nullglob
    scores=("${expdir}"/*/decode_*/*/score_*/.done)
    perplexities=("${expdir}"/*/ppl/*/.done)
    shopt -u nullglob
    [ "${#scores[@]}" -gt 0 ] || die "${expdir}: no scores; run stage 7 (score) first: ./run.sh --stage 7"
    notes=()
    for name in "${corpus_note}" "${note}"; do [ -z "${name}" ] || notes+=(--note "${name}"); done
    if [ -n "${figures}" ]; then notes+=(--figures "${figures}"); fi
    # made anew whenever a score is new, or the file of figures another, without asking
    what_is_shown() { stamp "notes=${notes[*]}" "results=${results}" -- "${scores[@]}" "${perplexities[@]}" "${figures}"; }
    made="$(what_is_shown)"
    if [ -e "${results}" ] && [ -e "${expdir}/report.html" ] && [ -e "${expdir}/.done" ] &&
        [ "$(<"${expdir}/.done")" = "${made}" ]; then
        log "${results}: done already"
    else
        audio=()
        for name in ${test_sets}; do [ ! -s "${datadir}/${name}/wav.scp" ] || audio+=("${datadir}/${name}"); done
        await kdasr report "${expdir}" -o "${results}" -o "${expdir}/report.html" --command "${command_line}" "${notes[@]}" \
            ${audio[0]:+--audio "${audio[@]}"} >"${expdir}/report.txt.tmp"
        mv "${expdir}/report.txt.tmp" "${expdir}/report.txt"
        mark_done "${expdir}" "$(what_is_shown)" # the file of figures has the new ones now
    fi
    cat "${expdir}/report.txt"
    log "a page to look at in a browser: ${expdir}/report.html"
fi
