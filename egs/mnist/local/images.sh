#!/usr/bin/env bash
# shellcheck disable=SC2034  # the options are read by run_recipe.sh
# The stages of egs/mnist: a teacher, students on labels and on soft targets at several temperatures, students that never
# saw some classes, specialists, and a table. local/plan.py has what each runs.
set -euo pipefail

# Begin configuration section.
stage=1              # first stage, by number or name
stop_stage=6         # last stage, by number or name
nj=1                 # trainings that run side by side, one thread each
dry_run=false        # print the plan, with commands that can be pasted into a shell, and run nothing
submit=""            # slurm: hand the stages over to the cluster, a job each, one after the other, and return
mnist=""             # directory of MNIST's four files; without it the digits that scikit-learn carries
held_out=0           # this many of the last training images stand as the test images: to choose settings on
seeds="1 2 3"        # of the main rows: teacher, widest student on labels and at the last temperature, omitted classes
sweep_seeds=1        # of the other rows
widths="800 300 30"  # hidden units of the students, widest first
temperatures="1 2.5 4 8 20"  # the main one last
omitted=3            # classes that one transfer set lacks
kept="7 8"           # classes that another one has alone
groups=3             # groups of confusable classes, a specialist each (0: none)
teacher_config=conf/teacher.yaml  # configuration of the teacher
student_config=conf/student.yaml  # configuration of the students
teacher_opts=""      # further settings of the teacher, as in "epochs=20"
student_opts=""      # further settings of every student
kept_opts="epochs=40"  # further settings of the students of the kept classes: an epoch is a fifth as long for them
specialist_opts=""   # further options of local/images_specialists.py
datadir=data/mnist   # images
expdir=exp/mnist     # networks
results=""           # the table, with temperatures.svg beside it; RESULTS.md in EXPDIR if no other is named
note=""              # a sentence that the table carries
# End configuration section.

help_message="Usage: ./run.sh [options]                      (in egs/mnist)

Distils classifiers of images. Stages, by number or name:
   1 data        MNIST's files, or scikit-learn's digits -> DATADIR/images.npz
   2 teacher     -> EXPDIR/teacher_s*
   3 student     -> EXPDIR/hard_*, on labels; EXPDIR/soft_*_T*, from the teacher of the same seed
   4 omit        -> EXPDIR/without_*, EXPDIR/only_*: from a transfer set that lacks classes
   5 specialist  -> EXPDIR/specialists_*, for the narrowest student on labels
   6 report      -> the table and the picture"
words=("$@")
parse_options_program="${KDASR_COMMAND:+run.sh}"
. ../../utils/parse_options.sh
[ $# -eq 0 ] || { echo "run.sh: ERROR: $1: options begin with -- and take one value; ./run.sh --help lists them" >&2; exit 1; }
. ../../utils/run_recipe.sh local/plan.py
