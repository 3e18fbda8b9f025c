#!/usr/bin/env bash
# shellcheck disable=SC2034  # the options are read by run_recipe.sh
# Language model distillation (Shi et al. 2019) in egs/ptb: from three texts to teachers, students by each objective,
# perplexities, and a table. It works in the recipe's directory; its steps are those of stage 8 of utils/kd.sh, too.
set -euo pipefail

# Begin configuration section.
stage=1              # first stage, by number or name
stop_stage=5         # last stage, by number or name
nj=2                 # trainings that run side by side
ngpu=0               # 1: train and evaluate on a GPU
dry_run=false        # print the plan, with commands that can be pasted into a shell, and run nothing
submit=""            # slurm: hand the stages over to the cluster, a job each, one after the other, and return
train=data/text/train.txt  # training text, a sentence a line
valid=data/text/valid.txt  # text to choose the best epoch by
tests="data/text/test.txt" # further texts to compute perplexities of
vocab=0              # most frequent words to keep (0: all)
min_count=1          # words that occur less often share one class
teacher_config=conf/lm_teacher.yaml  # configuration of the teachers
student_config=conf/lm_student.yaml  # configuration of the students
finetune=""          # settings of finetuning over the configurations, as in "rate=25 patience=0 stop=5"; without any there is none
teacher_seeds="1 2"  # a teacher for each; their mean is the teacher of the students
seeds="1"            # seeds of the students: one of each objective for each
objectives="ce kl fixed trust"  # how students learn: ce, kl, fixed, constant, trust, adaptive, conditional
ce_opts=""           # settings of students on labels alone over their configuration (nobody else keeps them from overfitting)
lm_opts=""           # further settings of every training, as in "epochs=3 streams=4"
stored=0             # words kept of the teachers' distributions, stored once (all: every word; 0: teachers read along)
draws=false          # draw these words instead of taking the most probable
dynamic=false        # dynamic evaluation, too
dumpdir=dump/lm      # vocabulary and stored targets
expdir=exp/lm        # models and perplexities
results=""           # the table; RESULTS.md in EXPDIR if no other is named
note=""              # a sentence that the table carries
# End configuration section.

# shellcheck disable=SC2034
help_message="Usage: ./run.sh [options]                      (in egs/ptb)

Distils a recurrent language model. Stages, by number or name:
   1 words    training text -> the vocabulary
   2 teacher  -> EXPDIR/teacher_s*, one for each of --teacher_seeds
   3 student  -> EXPDIR/student_OBJECTIVE_s*
   4 ppl      -> EXPDIR/MODEL/ppl, and EXPDIR/ensemble/ppl of the teachers together
   5 report   -> the table

  ./run.sh                                     # everything; run again, it continues where it stopped
  ./run.sh --seeds '1 2 3' --nj 4              # three students of each objective
  ./run.sh --objectives 'ce trust' --lm_opts 'epochs=5'
  ./run.sh --stored 20 --draws true            # students learn from stored draws instead of running teachers
  ./run.sh --submit slurm --nj 8               # on a cluster; kdasr jobs status exp shows the state of the stages"

words=("$@")
utils="$(dirname "${BASH_SOURCE[0]}")"
# shellcheck disable=SC2034  # read by parse_options.sh: what the user called
parse_options_program="${KDASR_COMMAND:+run.sh}"
# shellcheck source=utils/parse_options.sh
. "${utils}/parse_options.sh"
[ $# -eq 0 ] || { echo "lm.sh: ERROR: $1: options begin with -- and take one value; ./run.sh --help lists them" >&2; exit 1; }
# shellcheck source=utils/run_recipe.sh
. "${utils}/run_recipe.sh" lm
