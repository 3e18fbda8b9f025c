#!/usr/bin/env bash
# Every student recipe on one corpus: what helps a student a tenth of the teacher, and what does not. It calls the recipe's
# run.sh, so the work goes through cmd.sh, and what is finished is not done again.
set -euo pipefail

# Begin configuration section.
seeds="1 2 3"        # of the main rows
# rows that a claim may be made of
main="refs oracle pseudo pseudo_soft word word_ctc nbest seq_k1_b5 seq_k5_b5 refs_fine_tune pseudo_soft_fine_tune inter word_seq all_three prune91_teacher prune91_refs"
# rows that show a direction, of the first seed
others="pseudo_word seq_k1_b10 seq_k5_b10 seq_k10_b10 crossfit crossfit_k5 mix wer ensemble prune50 prune80 prune85 prune90 risk"
# End configuration section.

help_message="Usage: ../../utils/grid.sh [options] [options of run.sh]        (in egs/wsj, egs/an4, ...)

  ../../utils/grid.sh --nj 2                          # everything; run again, it continues where it stopped. What
                                                      # was measured is added to exp/figures.jsonl
  ../../utils/grid.sh --figures figures.jsonl --results RESULTS.md   # it is added to what the recipe keeps in git, so
                                                      # that machines (or weeks) can share the work; where another
                                                      # processor's rounding gives another teacher, both and their
                                                      # students count as runs
  ../../utils/grid.sh --main 'refs pseudo' --others '' # some rows
  ../../utils/grid.sh --student_configs conf/mini_long_student.yaml --main 'refs oracle pseudo_soft' --others ''
                                                      # other students, or as here the same, trained longer (egs/wsj)
  ../../utils/grid.sh --an4 ../../../shared/data/an4  # in egs/an4"
# shellcheck disable=SC2034  # read by parse_options.sh
parse_options_partial=true
# shellcheck source=utils/parse_options.sh
. "$(dirname "${BASH_SOURCE[0]}")/parse_options.sh"
[ -x run.sh ] || { echo "grid.sh: ${PWD} holds no run.sh; call it in a recipe's directory" >&2; exit 1; }

run() { ./run.sh --ppl true --figures exp/figures.jsonl "${parse_options_rest[@]}" "$@"; }
# In braces: the shell reads to the last of them before it begins, so that this file may change under a long run.
{
    # teachers and hypotheses of all rows first: students of both calls learn from the same
    run --students "${main} ${others}" --stop_stage 4
    run --students "${main}" --seeds "${seeds}" --stage 5 --stop_stage 7
    [ -z "${others}" ] || run --students "${others}" --seeds "${seeds%% *}" --stage 5 --stop_stage 7
    run --students "${main}" --seeds "${seeds}" --stage 10
    exit 0
}
