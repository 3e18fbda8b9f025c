#!/usr/bin/env bash
# Command-line options for a bash script, as Kaldi's parse_options.sh gives them. Source it after
# the script's configuration section:
#
#   # Begin configuration section.
#   nj=4             # parallel jobs
#   use_gpu=false    # decode on the GPU
#   # End configuration section.
#   help_message="Usage: $0 [options] DIR"
#   . utils/parse_options.sh
#
# --use-gpu true or --use_gpu true then sets use_gpu. An option is a variable that exists already;
# one that holds true or false takes nothing else. What follows the options stays in "$@"; `--`
# ends them. --config FILE, lines NAME=VALUE, is read first, wherever it is on the command line: options given on the command
# line win over it. --help prints $help_message, then the configuration section's lines with the values
# they have now. Values are taken literally (never through eval), `--nj=4` and a last option
# without its value are refused, and a misspelt option is answered with the closest one.
#
# parse_options_partial=true, set before sourcing, is for a script that sets defaults and passes
# the rest to another script which sources this file too: an option that is not in this script's
# section goes with its value into the array parse_options_rest; --help and --config go there as well.
#
# parse_options_renamed="OLD=NEW ...", set before sourcing, gives options that had another name in older versions: the old names are
# refused with the new one.
#
# parse_options_program, set before sourcing, is the name that messages begin with (else the script's).
#
# Every name here begins with parse_options_ (or PARSE_OPTIONS_), so none of the script's is lost; settings_line stays.

parse_options_fail() {
    printf '%s: %s\n' "${parse_options_program}" "$1" >&2
    exit 1
}

# The script's configuration section, one "name<TAB>comment" a line; "<TAB>title" for a comment line.
parse_options_section() {
    local parse_options_line parse_options_in=false
    while IFS= read -r parse_options_line; do
        case "${parse_options_line}" in
            "# Begin configuration"*) parse_options_in=true ;;
            "# End configuration"*) return 0 ;;
            *)
                "${parse_options_in}" || continue
                if [[ "${parse_options_line}" =~ ^([A-Za-z][A-Za-z0-9_]*)=(.*[[:blank:]]#[[:blank:]]+(.*))?$ ||
                    "${parse_options_line}" =~ ^([A-Za-z][A-Za-z0-9_]*)= ]]; then
                    printf '%s\t%s\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[3]:-}"
                elif [[ "${parse_options_line}" =~ ^#[[:blank:]]+(.*)$ && "${BASH_REMATCH[1]}" != shellcheck* ]]; then
                    printf '\t%s\n' "${BASH_REMATCH[1]}"
                fi
                ;;
        esac
    done <"${parse_options_script}"
}

parse_options_help() {
    local parse_options_name parse_options_text parse_options_first=true
    [ -z "${help_message:-}" ] || printf '%s\n' "${help_message}"
    while IFS= read -r parse_options_text; do
        parse_options_name="${parse_options_text%%$'\t'*}"
        parse_options_text="${parse_options_text#*$'\t'}"
        if "${parse_options_first}"; then
            printf '\nOptions of %s and their values now:\n' "${parse_options_program}"
            parse_options_first=false
        fi
        if [ -z "${parse_options_name}" ]; then
            printf ' %s\n' "${parse_options_text}"
        else
            printf '  --%-17s %s [%s]\n' "${parse_options_name}" "${parse_options_text}" "${!parse_options_name-}"
        fi
    done < <(parse_options_section)
    if "${parse_options_first}" && [ -z "${help_message:-}" ]; then
        printf '%s: no help found\n' "${parse_options_program}"
    fi
}

# Whether $1 names a variable that an option may set: it is set, plain, not the shell's (PATH, IFS).
parse_options_is_option() {
    [[ "$1" =~ ^[A-Za-z][A-Za-z0-9_]*$ && "$1" =~ [a-z] && "$1" != parse_options_* ]] || return 1
    "${parse_options_partial:-false}" && [[ "${parse_options_own}" != *" $1 "* ]] && return 1
    [[ -v "$1" ]] || return 1
    local parse_options_kind="${!1@a}"
    [[ "${parse_options_kind}" != *[aAir]* ]]
}

# Refuse an option that had another name in older versions. $1: the name; $2: its place, for the message.
parse_options_refuse_old() {
    local parse_options_pair
    for parse_options_pair in ${parse_options_renamed:-}; do
        [ "$1" != "${parse_options_pair%%=*}" ] || parse_options_fail "$2 was renamed: ${parse_options_pair#*=}"
    done
}

# The names that --help shows, those of the calling recipe included; without a section, every variable.
parse_options_names() {
    local parse_options_found
    parse_options_found="$(parse_options_section | cut -f 1)"
    if [ -n "${parse_options_found}" ]; then
        printf '%s\n' "${parse_options_found}"
    else
        compgen -v | grep '[a-z]' | grep -v '^parse_options_' || true
    fi
    # shellcheck disable=SC2086  # a list of names
    printf '%s\n' ${PARSE_OPTIONS_KNOWN:-}
}

# " (did you mean --NAME?)" for the existing option closest to $1, or nothing.
parse_options_suggest() {
    local parse_options_name parse_options_best="" parse_options_limit=$((${#1} / 3 + 2))
    local parse_options_i parse_options_j parse_options_cost parse_options_row parse_options_next
    while IFS= read -r parse_options_name; do
        [ -n "${parse_options_name}" ] || continue
        if [ "${#1}" -ge 2 ] && [[ "${parse_options_name}" == "$1"* || "$1" == "${parse_options_name}"* ]]; then
            parse_options_best="${parse_options_name}"
            break
        fi
        # Levenshtein distance, row by row
        parse_options_row=()
        for ((parse_options_j = 0; parse_options_j <= ${#parse_options_name}; parse_options_j++)); do
            parse_options_row+=("${parse_options_j}")
        done
        for ((parse_options_i = 1; parse_options_i <= ${#1}; parse_options_i++)); do
            parse_options_next=("${parse_options_i}")
            for ((parse_options_j = 1; parse_options_j <= ${#parse_options_name}; parse_options_j++)); do
                parse_options_cost=$((parse_options_row[parse_options_j - 1] + 1))
                if [ "${1:parse_options_i-1:1}" = "${parse_options_name:parse_options_j-1:1}" ]; then
                    parse_options_cost=$((parse_options_cost - 1))
                fi
                if ((parse_options_row[parse_options_j] + 1 < parse_options_cost)); then
                    parse_options_cost=$((parse_options_row[parse_options_j] + 1))
                fi
                if ((parse_options_next[parse_options_j - 1] + 1 < parse_options_cost)); then
                    parse_options_cost=$((parse_options_next[parse_options_j - 1] + 1))
                fi
                parse_options_next+=("${parse_options_cost}")
            done
            parse_options_row=("${parse_options_next[@]}")
        done
        if ((parse_options_row[${#parse_options_name}] < parse_options_limit)); then
            parse_options_limit="${parse_options_row[${#parse_options_name}]}"
            parse_options_best="${parse_options_name}"
        fi
    done < <(parse_options_names)
    [ -z "${parse_options_best}" ] || printf ' (did you mean --%s?)' "${parse_options_best}"
}

# settings_line LINE: a line NAME=VALUE of a file of settings, taken literally, into settings_name and settings_value: a
# bare value, or one in quotes. Nothing is expanded or run, and no value has what arithmetic could run later. Status 1 for any other line.
settings_line() {
    local name='^[[:blank:]]*([A-Za-z_][A-Za-z0-9_]*)=' end='[[:space:]]*([[:space:]]#.*)?$'
    local bare='([^][:space:]"'\''\\$`;&|<>(){}*?#~![]*)' double='"([^"\\$`]*)"' single="'([^'\$\`]*)'"
    [[ "$1" =~ ${name}${double}${end} || "$1" =~ ${name}${single}${end} || "$1" =~ ${name}${bare}${end} ]] || return 1
    settings_name="${BASH_REMATCH[1]}"
    settings_value="${BASH_REMATCH[2]}"
}

# Take the options that one --config file sets, and say which of its settings is no option.
parse_options_config() {
    local parse_options_line parse_options_listed settings_name settings_value
    [ -f "$1" ] || parse_options_fail "--config $1: no such file"
    [ -r "$1" ] || parse_options_fail "--config $1: cannot be read"
    parse_options_listed=" $(parse_options_names | tr '\n' ' ') "
    while IFS= read -r parse_options_line || [ -n "${parse_options_line}" ]; do
        parse_options_line="${parse_options_line%$'\r'}"
        [[ "${parse_options_line}" =~ ^[[:space:]]*(#.*)?$ ]] && continue
        settings_line "${parse_options_line}" || parse_options_fail \
            "--config $1: ${parse_options_line}: expected NAME=VALUE, in quotes where it has blanks (nothing in it is run)"
        if [[ "${parse_options_listed}" == *" ${settings_name} "* ]] && parse_options_is_option "${settings_name}"; then
            if [[ "${!settings_name}" == true || "${!settings_name}" == false ]] &&
                [[ "${settings_value}" != true && "${settings_value}" != false ]]; then
                parse_options_fail "--config $1: ${settings_name}=${settings_value}: expected true or false"
            fi
            printf -v "${settings_name}" '%s' "${settings_value}"
        elif ! "${parse_options_partial:-false}"; then
            parse_options_refuse_old "${settings_name}" "--config $1: ${settings_name}"
            [[ "${parse_options_listed}" == *" ${settings_name} "* ]] ||
                printf '%s: WARNING: %s sets %s, which is no option here%s\n' "${parse_options_program}" "$1" \
                    "${settings_name}" "$(parse_options_suggest "${settings_name}")" >&2
        fi
    done <"$1"
}

# Set the options and count the words they took in parse_options_used.
parse_options_main() {
    local parse_options_words=("$@") parse_options_at=0 parse_options_word parse_options_name parse_options_value
    local parse_options_next parse_options_known
    # --config first: the command line wins over it
    while ((parse_options_at + 1 < $#)); do
        parse_options_word="${parse_options_words[parse_options_at]}"
        case "${parse_options_word}" in
            -- | --help) break ;;
            --config) parse_options_config "${parse_options_words[parse_options_at + 1]}" ;;
            --*=*) break ;;
            --*) ;;
            *) break ;;
        esac
        parse_options_at=$((parse_options_at + 2))
    done
    parse_options_used=0
    while ((parse_options_used < $#)); do
        parse_options_word="${parse_options_words[parse_options_used]}"
        case "${parse_options_word}" in
            --)
                parse_options_used=$((parse_options_used + 1))
                return 0
                ;;
            --help)
                parse_options_help
                "${parse_options_partial:-false}" || exit 0
                parse_options_rest+=(--help)
                parse_options_used=$#
                return 0
                ;;
            --*=*)
                parse_options_name="${parse_options_word%%=*}"
                parse_options_fail "${parse_options_word}: write it as two words, ${parse_options_name} ${parse_options_word#*=}"
                ;;
            --*) ;;
            *) return 0 ;;
        esac
        parse_options_name="${parse_options_word#--}"
        parse_options_name="${parse_options_name//-/_}"
        parse_options_known=true
        if [ "${parse_options_name}" != config ] && ! parse_options_is_option "${parse_options_name}"; then
            parse_options_known=false
            parse_options_refuse_old "${parse_options_name}" "${parse_options_word}"
            "${parse_options_partial:-false}" || parse_options_fail \
                "${parse_options_word}: no such option$(parse_options_suggest "${parse_options_name}"); ${parse_options_program} --help lists them"
        fi
        if ((parse_options_used + 1 >= $#)); then
            parse_options_fail "${parse_options_word}: its value is missing; write ${parse_options_word} VALUE"
        fi
        parse_options_value="${parse_options_words[parse_options_used + 1]}"
        if [[ "${parse_options_value}" == --?* ]]; then
            parse_options_next="${parse_options_value#--}"
            parse_options_next="${parse_options_next//-/_}"
            if [[ " help config ${PARSE_OPTIONS_KNOWN:-} " == *" ${parse_options_next} "* ]] ||
                parse_options_is_option "${parse_options_next}"; then
                parse_options_fail "${parse_options_word}: its value is missing, the option ${parse_options_value} follows"
            fi
        fi
        if ! "${parse_options_known}"; then
            parse_options_rest+=("${parse_options_word}" "${parse_options_value}")
        elif [ "${parse_options_name}" = config ]; then
            if "${parse_options_partial:-false}"; then
                parse_options_rest+=(--config "${parse_options_value}")
            fi
        else
            if [[ "${!parse_options_name}" == true || "${!parse_options_name}" == false ]] &&
                [[ "${parse_options_value}" != true && "${parse_options_value}" != false ]]; then
                parse_options_fail "--${parse_options_name} ${parse_options_value}: expected true or false"
            fi
            if [ -z "${parse_options_value}" ] && [[ "${parse_options_name}" == cmd || "${parse_options_name}" == *_cmd ]]; then
                parse_options_fail "--${parse_options_name}: expected a command, found nothing"
            fi
            printf -v "${parse_options_name}" '%s' "${parse_options_value}"
        fi
        parse_options_used=$((parse_options_used + 2))
    done
}

parse_options_program="${parse_options_program:-${0##*/}}"
parse_options_script="${BASH_SOURCE[1]:-$0}"
if [ ! -f "${parse_options_script}" ]; then
    parse_options_script="./${parse_options_script##*/}" # the script went to its own directory first
fi
parse_options_rest=()
parse_options_own=" $(parse_options_section | cut -f 1 | tr '\n' ' ') "
parse_options_main "$@"
shift "${parse_options_used}"
if "${parse_options_partial:-false}"; then
    PARSE_OPTIONS_KNOWN="${PARSE_OPTIONS_KNOWN:-}${parse_options_own}"
    export PARSE_OPTIONS_KNOWN
else
    unset parse_options_rest
fi
unset parse_options_script parse_options_used parse_options_program parse_options_own
unset -f parse_options_fail parse_options_section parse_options_help parse_options_is_option parse_options_names \
    parse_options_refuse_old parse_options_suggest parse_options_config parse_options_main
true
