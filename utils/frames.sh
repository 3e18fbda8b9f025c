#!/usr/bin/env bash
# shellcheck disable=SC2034  # the options are read by run_recipe.sh
# Framewise acoustic models (Hinton, Vinyals and Dean 2015, sections 4 and 5): an alignment by the recipe's teacher,
# several models of its states, one distilled from them together, models that see little, specialists, and a table. It
# works in the recipe's directory, after stages 1 to 3 of its run.sh.
set -euo pipefail
program=./frames.sh # for messages

# Begin configuration section.
stage=1              # first stage, by number or name
stop_stage=8         # last stage, by number or name
nj=2                 # processes that run side by side, one thread each
dry_run=false        # print the plan, with commands that can be pasted into a shell, and run nothing
submit=""            # slurm: hand the stages over to the cluster, a job each, one after the other, and return
train_set=train      # set of data/ to learn from
valid_set=dev        # set to choose epochs and weights by
test_sets="test"     # sets to predict, decode and score
aligner=exp/teacher_s1  # ESPnet model with a CTC branch that aligns (the recipe's teacher)
bins=40              # log-mel bins of a frame
speed=""             # speed factors of the training audio, as in 0.9,1.0,1.1; without any it stays as it is
frames_opts="--positions 1 --min_count 100 --reach 8"  # options of kdasr frames data for the training set
frames_config=conf/frames.yaml  # configuration of all these models
baseline_seeds="1 2 3 4 5 6 7 8 9 10"  # a model for each; together they are the ensemble
temperatures="1 2 5 10"  # of the models distilled from it, the first seed of each
main=2               # the temperature of which there is a model for each of --seeds
distil_opts="epochs=10 drop_hidden=0.0"  # further settings of these: soft targets bear longer training, and keep from overfitting
seeds="1 2 3"        # of these, and of the models that see a share
share=0.03           # share of the training set that some see, on labels and on soft targets (0: no such models)
few_opts="epochs=60" # further settings of these: an epoch is short for them
groups=8             # groups of confusable states, a specialist each (0: none)
specialist_opts="--epochs 1"  # further options of kdasr frames specialists
model_opts=""        # further settings of every model, as in "epochs=5"
score_opts=""        # options of kdasr score, as in --wsj_filter
nlsyms=""            # file of non-linguistic symbols, left out of scores
datadir=data         # Kaldi data directories
dumpdir=dump/frames  # features, alignments and frames
expdir=exp/frames    # models and results
results=""           # the table; RESULTS.md in EXPDIR if no other is named
note=""              # a sentence that the table carries
corpus_note=""       # another, on the corpus (the recipe's frames.sh fills it in)
# End configuration section.

# shellcheck disable=SC2034  # read by parse_options.sh
help_message="Usage: ./frames.sh [options]                      (in egs/wsj, egs/an4)

Distils framewise acoustic models. Stages, by number or name:
   1 align       data/SET, the recipe's teacher -> DUMPDIR/SET: which state each frame is of
   2 baseline    -> EXPDIR/baseline_s*, one for each of --baseline_seeds
   3 ensemble    -> EXPDIR/ensemble/predict_*: their mean predictions, the soft targets among them
   4 distil      -> EXPDIR/distilled_T*_s*; EXPDIR/long_s*, for comparison: as long, on labels
   5 few         -> EXPDIR/hard_s*, EXPDIR/soft_s*: on --share of the training set
   6 specialist  -> EXPDIR/specialists_s*, for the first baseline
   7 score       -> EXPDIR/*/predict_SET/decode: words, and their error rates
   8 report      -> the table

  ./run.sh --stop_stage 3 && ./frames.sh --nj 2   # run again, it continues where it stopped
  ./frames.sh --baseline_seeds '1 2 3' --model_opts 'epochs=3'
  ./frames.sh --submit slurm --nj 8               # on a cluster; kdasr jobs status exp/frames shows the state of the stages"

words=("$@")
utils="$(dirname "${BASH_SOURCE[0]}")"
# shellcheck disable=SC2034  # read by parse_options.sh: what the user called
parse_options_program="${KDASR_COMMAND:+frames.sh}"
# shellcheck source=utils/parse_options.sh
. "${utils}/parse_options.sh"
[ $# -eq 0 ] || { echo "frames.sh: ERROR: $1: options begin with -- and take one value; ./frames.sh --help lists them" >&2; exit 1; }
# shellcheck source=utils/run_recipe.sh
. "${utils}/run_recipe.sh" frames
