#!/usr/bin/env bash
# Distillation of classifiers of images (Hinton, Vinyals and Dean 2015, section 3): a teacher, students on labels and on
# soft targets at several temperatures, students that never saw some classes, specialists, and a table.
# shellcheck disable=SC2317  # functions that pool_start calls
set -euo pipefail
command_line="./run.sh${*:+$(printf ' %q' "$@")}"
cd "$(dirname "${BASH_SOURCE[0]}")"

# Begin configuration section.
stage=1              # first stage, by number or name
stop_stage=6         # last stage, by number or name
nj=1                 # trainings that run side by side, one thread each
mnist=""             # directory of MNIST's four files (empty: the 1797 digits of 8 x 8 pixels that scikit-learn carries)
quick=false          # MNIST with fewer epochs, temperatures, widths and seeds
held_out=0           # this many of the last training images stand as the test images: to choose settings on
seeds="1 2 3"        # of the main rows: teacher, widest student on labels and at the last temperature, omitted classes
sweep_seeds="1"      # of the other rows
widths=""            # hidden units of the students, widest first (empty: 800 300 30; digits: 100 30 8)
temperatures="1 2.5 4 8 20"  # the main one last
omitted="3"          # classes that one transfer set lacks
kept="7 8"           # classes that another one has alone
groups=3             # groups of confusable classes, a specialist each (0: none)
teacher_config=""    # configuration of the teacher (empty: conf/teacher.yaml; digits: conf/digits_teacher.yaml)
student_config=""    # configuration of the students, likewise
teacher_opts=""      # further settings of the teacher, as in "epochs=20"
student_opts=""      # further settings of every student
kept_opts="epochs=40"  # further settings of the students of the kept classes: an epoch is a fifth as long for them
specialist_opts=""   # further options of kdasr images specialists (empty: none; digits: --batch 50 --epochs 20)
datadir=""           # images (empty: data/mnist or data/digits)
expdir=""            # networks (empty: exp/mnist, exp/mnist_quick or exp/digits)
results=""           # the table, with temperatures.svg beside it (empty: RESULTS.md for MNIST whole, else EXPDIR/RESULTS.md)
# End configuration section.

# shellcheck disable=SC2034  # read by kd_steps.sh
names=("" data teacher student omit specialist report)
# shellcheck disable=SC2034  # read by parse_options.sh
help_message="Usage: ./run.sh [options]                      (in egs/mnist)

Distils classifiers of images. Stages, by number or name:
   1 data        MNIST's files, or scikit-learn's digits -> DATADIR/images.npz
   2 teacher     -> EXPDIR/teacher_s*
   3 student     -> EXPDIR/hard_*, on labels; EXPDIR/soft_*_T*, from the teacher of the same seed
   4 omit        -> EXPDIR/without_*, EXPDIR/only_*: from a transfer set that lacks classes
   5 specialist  -> EXPDIR/specialists_*: beside the narrowest student on labels
   6 report      -> the table and the picture

  ./run.sh                                     # digits; run again, it goes on where it was stopped
  ./run.sh --mnist /corpora/mnist --nj 2       # MNIST
  ./run.sh --mnist /corpora/mnist --quick true # fewer epochs, temperatures, widths and seeds
  ./run.sh --mnist /corpora/mnist --held_out 10000 --seeds 1 --stop_stage teacher \\
      --teacher_opts 'epochs=20' --expdir exp/trial    # another setting, judged without the test images"

# shellcheck source=utils/kd_steps.sh
. ../../utils/kd_steps.sh
# shellcheck source=utils/parse_options.sh
. ../../utils/parse_options.sh
[ $# -eq 0 ] || die "$1: options begin with -- and take one value; ./run.sh --help lists them"
which_stages
recipe_commands

kind=mnist size=""
if [ -z "${mnist}" ]; then
    kind=digits size=digits_
    "${quick}" && die "--quick is for --mnist; the digits are quick anyway"
fi
[[ "${held_out}" =~ ^[0-9]+$ ]] || die "--held_out ${held_out}: expected a number of images"
[ "${held_out}" -eq 0 ] || kind="${kind}_held_out"
datadir="${datadir:-data/${kind}}"
if "${quick}"; then
    kind="${kind}_quick" seeds=1 sweep_seeds=1 temperatures="1 20" widths="${widths:-800}" groups=0
    teacher_opts="epochs=8 drop_hidden=0.2 ${teacher_opts}" student_opts="epochs=5 ${student_opts}" kept_opts="epochs=25"
fi
if [ -z "${mnist}" ]; then
    widths="${widths:-100 30 8}" specialist_opts="${specialist_opts:---batch 50 --epochs 20}"
else
    widths="${widths:-800 300 30}"
fi
expdir="${expdir:-exp/${kind}}"
if [ -z "${results}" ]; then
    results="${expdir}/RESULTS.md"
    [ "${kind}" != mnist ] || results=RESULTS.md
fi
teacher_config="${teacher_config:-conf/${size}teacher.yaml}"
student_config="${student_config:-conf/${size}student.yaml}"
for file in "${teacher_config}" "${student_config}"; do
    [ -f "${file}" ] || die "${file}: no such file; name the configurations with --teacher_config and --student_config"
done
images="${datadir}/images.npz"
widest="${widths%% *}" narrowest="${widths##* }" main="${temperatures##* }" first_seed="${seeds%% *}"

now="${first}"
start_run

# train_one NAME LABEL CONFIG SEED SETTINGS [OPTION...]: NAME_sSEED, from the teacher of that seed if OPTION says so
train_one() {
    local out="${expdir}/$1_s$4" label="$2" config="$3" model_seed="$4" made inputs=() settings=() set=()
    read -ra settings <<<"$5"
    shift 5
    [ "${1:-}" != --teachers ] || inputs=("$2")
    [ "${#settings[@]}" -eq 0 ] || set=(--set "${settings[@]}")
    made="$(stamp "seed=${model_seed}" "set=${settings[*]}" "options=$*" -- "${config}" "${datadir}" "${inputs[@]}")"
    if is_done "${out}" "${made}"; then
        log "${out}: done already"
        return
    fi
    log "${out}: training, log in ${out}/train.log"
    await "${run_train[@]}" "${out}/train.log" kdasr images train --data "${images}" --conf "${config}" --out "${out}" \
        --label "${label}" --seed "${model_seed}" "$@" "${set[@]}"
    mark_done "${out}" "${made}"
    log "$(grep -F "${out}: " "${out}/train.log" | tail -n 1)"
}

teachers() { # of all seeds that are asked for, one a line
    local one
    for one in ${seeds} ${sweep_seeds}; do echo "${expdir}/teacher_s${one}"; done | sort -u
}

# In braces: the shell reads to the last of them before it begins, so that this file may change under a long run.
{
    if begin 1 "${mnist:-digits of scikit-learn}" "${images}"; then
        from=()
        [ -z "${mnist}" ] || from=(--mnist "${mnist}")
        made="$(stamp "mnist=${mnist}" "held_out=${held_out}" --)"
        if is_done "${datadir}" "${made}"; then
            log "${datadir}: done already"
        else
            await kdasr images data --out "${images}" --held_out "${held_out}" "${from[@]}"
            mark_done "${datadir}" "${made}"
        fi
    fi

    if begin 2 "${images}" "${expdir}/teacher_s*"; then
        need 1 "${datadir}"
        for one in $(teachers); do
            pool_start train_one teacher teacher "${teacher_config}" "${one##*_s}" "${teacher_opts}"
        done
        pool_wait
    fi

    if begin 3 "${images} ${expdir}/teacher_s*" "${expdir}/hard_* ${expdir}/soft_*"; then
        mapfile -t found < <(teachers)
        need 2 "${found[@]}"
        for width in ${widths}; do
            for temperature in hard ${temperatures}; do
                of="${sweep_seeds}"
                if [ "${width}" = "${widest}" ] && [[ "${temperature}" = hard || "${temperature}" = "${main}" ]]; then
                    of="${seeds}"
                fi
                for one in ${of}; do
                    if [ "${temperature}" = hard ]; then
                        pool_start train_one "hard_${width}" student "${student_config}" "${one}" "${student_opts} hidden=${width}"
                    else
                        pool_start train_one "soft_${width}_T${temperature}" student "${student_config}" "${one}" \
                            "${student_opts} hidden=${width} temperature=${temperature}" --teachers "${expdir}/teacher_s${one}"
                    fi
                done
            done
        done
        pool_wait
    fi

    if begin 4 "${images} ${expdir}/teacher_s*" "${expdir}/without_* ${expdir}/only_*"; then
        for one in ${seeds}; do
            need 2 "${expdir}/teacher_s${one}"
            changes="${student_opts} hidden=${widest} temperature=${main}"
            # shellcheck disable=SC2086  # several classes
            pool_start train_one "without_${omitted// /_}" student "${student_config}" "${one}" "${changes}" \
                --teachers "${expdir}/teacher_s${one}" --without ${omitted}
            # shellcheck disable=SC2086
            pool_start train_one "only_${kept// /_}" student "${student_config}" "${one}" "${changes} ${kept_opts}" \
                --teachers "${expdir}/teacher_s${one}" --only ${kept}
        done
        pool_wait
    fi

    specialists() {
        local generalist="${expdir}/hard_${narrowest}_s$1" out="${expdir}/specialists_s$1" made options=()
        read -ra options <<<"${specialist_opts}"
        need 3 "${generalist}"
        made="$(stamp "groups=${groups}" "options=${specialist_opts}" -- "${datadir}" "${generalist}")"
        if is_done "${out}" "${made}"; then
            log "${out}: done already"
            return
        fi
        await "${run_train[@]}" "${out}/train.log" kdasr images specialists --data "${images}" --generalist "${generalist}" \
            --groups "${groups}" --out "${out}" --seed "$1" "${options[@]}"
        mark_done "${out}" "${made}"
        log "$(grep -F "${out}: " "${out}/train.log" | tail -n 1)"
    }

    if [ "${groups}" -gt 0 ] && begin 5 "${expdir}/hard_${narrowest}_s*" "${expdir}/specialists_s*"; then
        for one in ${sweep_seeds}; do pool_start specialists "${one}"; done
        pool_wait
    fi

    if begin 6 "${expdir}/*" "${results}"; then
        need 2 "${expdir}/teacher_s${first_seed}"
        notes=()
        [ -n "${mnist}" ] || notes=(--note "scikit-learn's digits of 8 x 8 pixels: these errors say nothing about MNIST.")
        ! "${quick}" || notes=(--note "The quick form: fewer epochs, temperatures, widths and seeds.")
        [ "${held_out}" -eq 0 ] || notes+=(--note "The last ${held_out} training images stand as the test images.")
        await kdasr images report --data "${images}" --exp "${expdir}" --out "${results}" \
            --picture "$(dirname "${results}")/temperatures.svg" --command "${command_line}" "${notes[@]}"
    fi
    read -ra ticks <"/proc/$$/stat" # of this process and of those it waited for, user and system: fields 14 to 17
    log "finished, $((SECONDS - started)) s, $(((ticks[13] + ticks[14] + ticks[15] + ticks[16]) / $(getconf CLK_TCK))) s of CPU"
    exit 0
}
