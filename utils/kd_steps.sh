#!/usr/bin/env bash
# What the stages of a recipe are built of: messages, which stages run, the record of what is done, jobs side by side,
# and the lock. Sourced by kd.sh and its like, which set names (of the stages, from 1), now (the stage that runs) and nj.
# shellcheck disable=SC2154,SC2030,SC2031,SC2034  # these; child is meant to differ in a background process

said=false  # whether the reason for stopping was printed
child=""    # the process that await waits for
pool=()     # the processes that run side by side
pool_failed=false

log() {
    printf '%(%Y-%m-%dT%H:%M:%S)T (%s:%s) %s\n' -1 "${BASH_SOURCE[1]##*/}" "${BASH_LINENO[0]}" "$*"
}

die() {
    said=true
    printf '%(%Y-%m-%dT%H:%M:%S)T (%s:%s) ERROR: %s\n' -1 "${BASH_SOURCE[1]##*/}" "${BASH_LINENO[0]}" "$*" >&2
    exit 1
}

# The number of a stage given by number or name: stage_number OPTION VALUE
stage_number() {
    local number
    for ((number = 1; number < ${#names[@]}; number++)); do
        if [ "$2" = "${number}" ] || [ "$2" = "${names[number]}" ]; then
            echo "${number}"
            return
        fi
    done
    die "--$1 $2: no such stage; expected 1 to $((${#names[@]} - 1)) or one of:${names[*]}"
}

# first and last, from the options stage and stop_stage
which_stages() {
    first="$(stage_number stage "${stage}")"
    last="$(stage_number stop_stage "${stop_stage}")"
    ((first <= last)) || die "--stage ${stage} --stop_stage ${stop_stage}: the last stage comes before the first"
}

# begin N READS WRITES: whether stage N is to be run, and its headline
begin() {
    (($1 >= first && $1 <= last)) || return 1
    now="$1"
    log "stage $1 (${names[$1]}): reads $2, writes $3"
}

# stamp KEY=VALUE... -- INPUT...: the text of a .done file. An input is a file, or a directory that an
# earlier step finished: its own .done names it, so that the chain reaches back to the corpus.
stamp() {
    local files=() line
    echo "# what this step was made with (utils/kd.sh); without this file the step runs again"
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        echo "${1//$'\n'/ }"
        shift
    done
    shift
    for line in "$@"; do
        if [ -d "${line}" ]; then line+="/.done"; fi
        if [ -e "${line}" ]; then files+=("${line}"); fi
    done
    [ "${#files[@]}" -eq 0 ] || sha256sum -- "${files[@]}" | while read -r line file; do
        echo "${file%/.done}=${line::16}"
    done
}

# differences OLD NEW: what differs between two stamps, in words
differences() {
    local -A was=() is=()
    local line key found=()
    while IFS= read -r line; do [[ "${line}" == \#* ]] || was["${line%%=*}"]="${line#*=}"; done <<<"$1"
    while IFS= read -r line; do [[ "${line}" == \#* ]] || is["${line%%=*}"]="${line#*=}"; done <<<"$2"
    for key in "${!is[@]}"; do
        if [ -z "${was[${key}]+set}" ]; then
            found+=("${key} is new")
        elif [ "${was[${key}]}" != "${is[${key}]}" ]; then
            if [ -e "${key}" ]; then
                found+=("${key} has changed")
            else
                found+=("${key} was '${was[${key}]}', now '${is[${key}]}'")
            fi
        fi
    done
    for key in "${!was[@]}"; do
        [ -n "${is[${key}]+set}" ] || found+=("${key} is gone")
    done
    printf '%s; ' "${found[@]}" | sed 's/; $//'
}

# is_done DIR STAMP: whether the step that writes DIR has ended with this stamp. An empty .done (touch
# DIR/.done) takes DIR as it is, however it was made.
is_done() {
    local there
    [ -e "$1/.done" ] || return 1
    there="$(<"$1/.done")"
    [ -z "${there}" ] || [ "${there}" = "$2" ] ||
        die "$1: made with other settings or inputs ($(differences "${there}" "$2")): rm -r $1 and run again to make it" \
            "anew (rm $1/.done: to run the step on what is there), or put the setting back"
}

mark_done() { # DIR STAMP
    printf '%s\n' "$2" >"$1/.done.tmp"
    mv "$1/.done.tmp" "$1/.done"
}

# need STAGE PATH...: a directory needs its .done, a file itself; else say which stage makes it
need() {
    local number="$1" path
    shift
    for path in "$@"; do
        if [ -d "${path}" ]; then
            [ -e "${path}/.done" ] ||
                die "${path}: not finished; run stage ${number} (${names[number]}) first: ${recipe:-./run.sh} --stage ${number}" \
                    "(or touch ${path}/.done if it was made in another way)"
        elif [ ! -e "${path}" ]; then
            die "${path}: missing; run stage ${number} (${names[number]}) first: ${recipe:-./run.sh} --stage ${number}"
        fi
    done
}

# status_of PID: return what this child of ours ends with, when it has. bash 5.2's wait answers -1 where a signal took
# every child out just before it asked the kernel; asked again, it knows.
status_of() {
    local status=0
    wait "$1" || status=$?
    [ "${status}" -lt 0 ] || return "${status}"
    wait "$1"
}

# await COMMAND...: as COMMAND, but a signal to this script acts at once, not after the command. run.py sees to it that
# what a command has started ends with it, and with us; where kdasr itself is called, it is run.py that calls it.
await() {
    local status=0
    if [ "$1" = kdasr ]; then set -- "${BASH_SOURCE[0]%/*}/run.py" - "$@"; fi
    "$@" &
    child=$!
    status_of "${child}" || status=$?
    child=""
    return "${status}"
}

# end_jobs PID...: end these processes of ours, and wait until they are gone
end_jobs() {
    [ $# -eq 0 ] || kill "$@" 2>/dev/null || true
    wait
}

# in_background COMMAND...: COMMAND in its own process, which ends its jobs when it is told to end
in_background() {
    {
        child=""
        trap 'end_jobs ${child}; exit 143' TERM
        "$@"
    } &
}

# Take the ended processes out of the pool.
pool_reap() {
    local process left=()
    for process in "${pool[@]}"; do
        if kill -0 "${process}" 2>/dev/null; then
            left+=("${process}")
        else
            status_of "${process}" || pool_failed=true
        fi
    done
    pool=("${left[@]}")
}

# pool_start COMMAND...: run it beside the others, nj at most (with what was begun early); after a failure nothing
# more is started
pool_start() {
    local slots="${nj}"
    if [ -n "${early:-}" ]; then slots=$((nj - 1)); fi
    pool_reap
    while [ "${#pool[@]}" -ge "${slots}" ]; do
        await sleep 0.05
        pool_reap
    done
    if "${pool_failed}"; then return; fi
    in_background "$@"
    pool+=("$!")
}

pool_wait() {
    while [ "${#pool[@]}" -gt 0 ]; do
        pool_reap
        [ "${#pool[@]}" -eq 0 ] || await sleep 0.05
    done
    if "${pool_failed}"; then exit 1; fi
}

at_exit() {
    local status=$?
    trap - EXIT
    # shellcheck disable=SC2086  # none or one
    end_jobs ${child} "${pool[@]}" ${early:-}
    if [ "${status}" -ne 0 ] && ! "${said}"; then
        log "ERROR: stopped in stage ${now} (${names[now]}), status ${status}; what is finished stays, and" \
            "${recipe:-./run.sh} --stage ${now} with the same options goes on" >&2
    fi
    exit "${status}"
}

# One run at a time in a recipe's directory. The lock is the kernel's; run.py, which closes other files, has its jobs
# hold it as long as they live.
take_lock() {
    local process="" host="" wait_for=30
    mkdir -p "${expdir}"
    exec 9>>"${expdir}/.lock"
    if ! flock -n 9; then
        read -r process host <"${expdir}/.lock" || true
        if [ "${host}" != "${HOSTNAME}" ] || [ -z "${process}" ] || [ -d "/proc/${process}" ]; then
            die "${expdir}: another run works here (process ${process:-unknown} on ${host:-an unknown host});" \
                "wait for it, end it with kill ${process}, or give this one another --expdir"
        fi
        log "${expdir}: the jobs of a killed run (process ${process}) are ending, waiting up to ${wait_for} s"
        flock -w "${wait_for}" 9 ||
            die "${expdir}: jobs of a killed run (process ${process}) still work here; end them (ps -ef | grep kdasr)"
    fi
    echo "$$ ${HOSTNAME}" >"${expdir}/.lock"
    export KDASR_LOCK_FD=9
}

# recipe_commands: the recipe's path.sh and cmd.sh, and run_train, run_decode and run_cuda: each is "run.py", or another
# program of its interface with options
recipe_commands() {
    local file
    for file in path.sh cmd.sh; do
        [ -f "${file}" ] || die "${file}: not found in ${PWD}; run a recipe's ${recipe:-run.sh} in its own directory"
        # shellcheck disable=SC1090  # the recipe's
        . "./${file}"
    done
    read -ra run_train <<<"${train_cmd:-}"
    read -ra run_decode <<<"${decode_cmd:-}"
    read -ra run_cuda <<<"${cuda_cmd:-}"
    for file in kdasr "${run_train[0]:-train_cmd}" "${run_decode[0]:-decode_cmd}" "${run_cuda[0]:-cuda_cmd}"; do
        command -v "${file}" >/dev/null || case "${file}" in
            kdasr) die "kdasr is not installed; run tools/install.sh at the top of the repository" ;;
            *) die "${file}: no such command; cmd.sh has to set train_cmd, decode_cmd and cuda_cmd, as to run.py" ;;
        esac
    done
}

# start_run: what every run begins with once its options are read
start_run() {
    take_lock
    export KDASR_RECIPE_PID=$$ # run.py ends its jobs when this process is gone
    trap at_exit EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    started="${SECONDS}"
    log "${command_line}"
}
