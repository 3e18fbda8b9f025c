#!/usr/bin/env bash
# What each student learns from and how: utils/objectives/NAME.conf, or the recipe's conf/objectives/NAME.conf, or a
# file that is named by its path. Sourced by kd.sh, whose configuration and names it uses.
# shellcheck disable=SC2154,SC2034

# An objective's settings, as a file of name=value lines:
#   label     what the table calls the student
#   learn     refs      the references of the transcribed audio
#             hyps      the teacher's hypotheses of the transcribed audio
#             crossfit  the same by teachers that did not hear it (--folds)
#             extra     references of the transcribed audio, the teacher's hypotheses of the untranscribed audio
#             control   the references of all audio
#   beam, nbest  the search that wrote the hypotheses (the recipe's, unless said otherwise)
#   select    options of kdasr targets
#   kd        distillation settings (kdasr train --kd); with them the teacher's distributions are learned, too
#   kept      tokens that these are kept for, 0 for all
#   teachers  how many teachers search and are asked together: the recipe's, and others of the next seeds
#   targets   objective whose targets this one learns from, too; all of the above is that one's
#   init      objective whose student of the same seed this one goes on from; or "teacher"
#   prune     options of kdasr prune: what of that model is set to zero before it goes on
#   config    whose configuration it trains with: student, tune (of those with init, unless said otherwise) or teacher
target_settings="learn beam nbest select kd kept teachers"
objective_settings="label ${target_settings} targets init prune config"

# Those that are asked hundreds of times set a variable of the caller's, whose name comes first: a subshell each is slow.

# find_objective INTO NAME: its file, or nothing
find_objective() {
    local -n path="$1"
    local candidate
    for candidate in "conf/objectives/$2.conf" "${utils}/objectives/$2.conf" "$2"; do
        path="${candidate}"
        if [ -f "${path}" ]; then return; fi
    done
    path=""
}

# objective_file INTO NAME: its file, which has to be there
objective_file() {
    find_objective "$@"
    [ -n "${!1}" ] ||
        die "--students $2: no such objective; there are $(cd "${utils}/objectives" && printf '%s ' *.conf | sed 's/\.conf//g')and conf/objectives/*.conf"
}

# short_name INTO NAME: what directories are called after
short_name() {
    local -n called="$1"
    called="${2##*/}"
    called="${called%.conf}"
}

# one_name INTO NAME: its short name, where that is enough to find the same file; else the name as it was given
one_name() {
    local -n chosen="$1"
    local asked="$2" short given found
    short_name short "${asked}"
    find_objective given "${asked}"
    find_objective found "${short}"
    chosen="${asked}"
    if [ "${given}" -ef "${found}" ]; then chosen="${short}"; fi
}

# must_differ NAME OTHER...: none of the others is called like NAME and means another file
must_differ() {
    local other mine theirs
    short_name mine "$1"
    for other in "${@:2}"; do
        short_name theirs "${other}"
        [ "${other}" = "$1" ] || [ "${theirs}" != "${mine}" ] ||
            die "$1 and ${other} are different objectives and would share their directories; rename the file of one"
    done
}

# read_objective FILE: its settings, into the variables of the caller; the file is read, and nothing in it is run
read_objective() {
    local line settings_name settings_value
    while IFS= read -r line || [ -n "${line}" ]; do
        line="${line%$'\r'}"
        [[ "${line}" =~ ^[[:space:]]*(#.*)?$ ]] && continue
        if ! settings_line "${line}" || [[ " ${objective_settings} " != *" ${settings_name} "* ]]; then
            die "$1: ${line}: expected NAME=VALUE with one of: ${objective_settings}; in quotes where it has blanks"
        fi
        printf -v "${settings_name}" '%s' "${settings_value}"
    done <"$1"
}

# with_objective NAME COMMAND...: COMMAND, which sees the objective's settings as variables
with_objective() {
    local objective learn="" beam="${beam}" nbest="${nbest}" select="" kd="" kept=8 teachers=1 targets=""
    local label="" init="" prune="" config="" file owner
    short_name objective "$1"
    objective_file file "$1"
    read_objective "${file}"
    if [ -n "${targets}" ]; then
        objective_file owner "${targets}"
        read_objective "${owner}"
        label="" init="" prune="" config="" # what is done with the targets is not the owner's to say
        read_objective "${file}"
    fi
    one_name targets "${targets:-$1}" # one's own, unless another is named
    [[ "${init}" == @(|teacher) ]] || one_name init "${init}"
    "${@:2}"
}

show() { # NAME of a setting
    echo "${!1}"
}

learns_from_the_rest() { # of the audio, which is not transcribed
    [[ "${learn}" == @(extra|control) ]]
}

begins_with_teacher() { # whether what it goes on from is the teacher, or went on from it
    [ "${init}" = teacher ] || { [ -n "${init}" ] && with_objective "${init}" begins_with_teacher; }
}

check_objective() {
    local file line value
    [ "$(with_objective "${targets}" show targets)" = "${targets}" ] ||
        die "--students $1: targets=${targets}: has another's targets itself; name that one"
    objective_file file "$1"
    while IFS= read -r line; do
        [[ "${targets}" == "$1" || " ${target_settings} " != *" ${line%%=*} "* ]] ||
            die "${file}: ${line}: with targets=${targets} this is that one's; leave one of the two out"
    done <"${file}"
    [[ "${learn}" == @(refs|hyps|crossfit|extra|control) ]] ||
        die "${file}: learn=${learn}: expected refs, hyps, crossfit, extra or control"
    ! learns_from_the_rest || [ -n "${unlabelled}" ] ||
        die "${file}: learn=${learn}: all audio is transcribed; with --transcribed 0.5, half of it is taken as untranscribed"
    [[ "${config}" == @(|student|tune|teacher) ]] || die "${file}: config=${config}: expected student, tune or teacher"
    [ "${config}" != teacher ] || [ -z "${teacher_dir}" ] ||
        die "${file}: config=teacher: --teacher_dir's network may have no configuration here; leave this objective out"
    for value in beam nbest teachers; do whole_number "${value}" 1; done
    [ -n "${label}" ] || die "${file}: label: expected what the table is to call the student"
    [[ -z "${prune}" || "${prune}" == --* ]] || die "${file}: prune=${prune}: expected options of kdasr prune, as in --sparsity 0.8"
    [ -z "${prune}" ] || [ -n "${init}" ] || die "${file}: prune=${prune}: expected init, the objective whose student is pruned"
    [[ "${learn}" != crossfit || -z "${kd}" ]] || die "${file}: kd=${kd}: cross-fitted hypotheses have no one teacher to ask; leave kd out"
    [ "${teachers}" -eq 1 ] || [ -z "${teacher_dir}" ] || die "${file}: teachers=${teachers}: --teacher_dir names one; leave this objective out"
}

# add_objective NAME: NAME into `objectives`, behind the one it goes on from; `rounds` says how far behind
declare -A rounds=()
objectives=()
add_objective() {
    local before
    [ -z "${rounds[$1]:-}" ] || return 0
    with_objective "$1" check_objective "$1"
    must_differ "$1" "${objectives[@]}"
    before="$(with_objective "$1" show init)"
    rounds[$1]=0
    if [ -n "${before}" ] && [ "${before}" != teacher ]; then
        add_objective "${before}"
        rounds[$1]=$((rounds[${before}] + 1))
    fi
    objectives+=("$1")
}

its_configs() { # the student_configs that an objective has students of: each, or where all are the teacher's network, one
    if [ "${config}" = teacher ]; then echo "${student_list[0]}"; else echo "${student_list[@]}"; fi
}

# ------------------------------------------------------------------------------------- hypotheses

# the teachers that search and are asked together, the recipe's first
ensemble() {
    local n
    echo "${teacher}"
    for ((n = 1; n < teachers; n++)); do echo "${teacher_base}_s$((seed + n))"; done
}

fold_teacher() { # NUMBER
    echo "${teacher_base}_fold$1of${folds}_s${seed}"
}

# archives: the N-best directories that an objective learns from, one a line
archives() {
    local name="" n
    if [ "${beam} ${nbest}" != "${recipe_search}" ]; then name="_b${beam}n${nbest}"; fi
    local from="${teacher}"
    if [ "${teachers}" -gt 1 ]; then from+="/ensemble${teachers}"; fi
    case "${learn}" in
        hyps) echo "${from}/nbest_${labelled##*/}${name}" ;;
        extra) echo "${from}/nbest_${unlabelled##*/}${name}" ;;
        crossfit) for ((n = 1; n <= folds; n++)); do echo "$(fold_teacher "${n}")/nbest_fold${n}${name}"; done ;;
    esac
}

# note_needs: what an objective asks of the stages before, and whose targets are to be made
selections=()
declare -A archive_data=() archive_models=() archive_search=()
archive_dirs=()
most_teachers=1
crossfits=false
note_needs() {
    local name n
    must_differ "${targets}" "${selections[@]}"
    if [[ " ${selections[*]} " != *" ${targets} "* ]]; then selections+=("${targets}"); fi
    if [ "${teachers}" -gt "${most_teachers}" ]; then most_teachers="${teachers}"; fi
    if [ "${learn}" = crossfit ]; then crossfits=true; fi
    while read -r name; do
        [ -z "${archive_data[${name}]:-}" ] || continue
        archive_dirs+=("${name}")
        archive_search[${name}]="${beam} ${nbest}"
        archive_models[${name}]="$(ensemble)"
        case "${learn}" in
            hyps) archive_data[${name}]="${labelled}" ;;
            extra) archive_data[${name}]="${unlabelled}" ;;
            crossfit)
                n="${name##*/nbest_fold}"
                archive_data[${name}]="${fold_dir}/fold${n%%_*}"
                archive_models[${name}]="$(fold_teacher "${n%%_*}")"
                ;;
        esac
    done < <(archives)
}

# targets_dir: where what an objective's student learns from stands; nothing for references alone
targets_dir() {
    local owner
    short_name owner "${targets}"
    if [ -n "${kd}" ] || [[ "${learn}" == @(hyps|crossfit|extra) ]]; then echo "${teacher}/targets_${owner}"; fi
}

# train_set_of: the features it trains on
train_set_of() {
    case "${learn}" in
        extra | control) echo "${train_all}" ;;
        *) echo "${labelled}" ;;
    esac
}
