#!/usr/bin/env bash
# ./run.sh --submit slurm: the stages as jobs of a cluster, each of which starts when the one before it has ended well.
# Sourced by kd.sh and lm.sh, whose names and options it uses. What it leaves in EXPDIR/jobs is read by kdasr jobs.
# shellcheck disable=SC2154,SC2034

# submit_to: choose the part of cmd.sh by --submit
submit_to() {
    case "${submit}" in
        "") ;;
        slurm) cmd_backend="${submit}" ;;
        *) die "--submit ${submit}: expected slurm (or nothing: the stages run here and now)" ;;
    esac
}

# submit_stages NUMBERS PROGRAM WORD...: PROGRAM runs a stage of these numbers with these words and --stage N --stop_stage N
submit_stages() {
    local stages="$1" program="$2" number job="" after=() run_submit log
    shift 2
    read -ra run_submit <<<"${submit_cmd:-}"
    command -v "${run_submit[0]:-submit_cmd}" >/dev/null ||
        die "${run_submit[0]:-submit_cmd}: no such command; cmd.sh has to set submit_cmd, as to slurm.py"
    mkdir -p "${expdir}/jobs"
    exec 9>>"${expdir}/jobs/.lock"
    flock -n 9 || die "${expdir}: another ./run.sh --submit is submitting right now; kdasr jobs status ${expdir} shows it"
    kdasr jobs status --idle "${expdir}" || die "nothing was submitted"
    for number in ${stages}; do
        log="${expdir}/jobs/${number}_${names[number]}.log"
        job="$("${run_submit[@]}" --detach 1 "${after[@]}" "${log}" env "cmd_backend=${submit}" "${program}" "$@" \
            --submit "" --stage "${number}" --stop_stage "${number}")" ||
            die "stage ${number} (${names[number]}) was not submitted; what was submitted before it goes on, or ends with:" \
                "kdasr jobs cancel ${expdir}"
        log "stage ${number} (${names[number]}): job ${job}${after[1]:+ after job ${after[1]}}, log in ${log}"
        after=(--after "${job}")
    done
    log "submitted; kdasr jobs status ${expdir} shows how they stand, kdasr jobs cancel ${expdir} ends them"
}
