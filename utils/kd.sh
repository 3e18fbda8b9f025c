#!/usr/bin/env bash
# shellcheck disable=SC2034  # the options are read by run_recipe.sh
# The stages of a distillation recipe, shared by every egs/*/run.sh: from a corpus to a teacher, its
# N-best hypotheses, students, and a table of what each costs. It works in the recipe's directory,
# which holds cmd.sh, path.sh, conf/ and local/data.sh.
set -euo pipefail

# Begin configuration section.
# What is run
stage=1              # first stage, by number or name
stop_stage=11        # last stage, by number or name
nj=2                 # processes that run side by side
ngpu=0               # GPUs of one training, on each of its nodes (0: on the CPU)
num_nodes=1          # nodes of one training (more: on a cluster only)
seed=1               # seed of the teacher
seeds="1"            # seeds of the students: one student of each kind for each
dry_run=false        # print the plan, with commands that can be pasted into a shell, and run nothing
submit=""            # slurm: hand the stages over to the cluster, a job each, one after the other, and return
early_students=true  # train students that need no teacher while it is trained (on the CPU, with nj of 2 or more)
task=recognition     # recognition of speech, or translation of text (data directories with text.src in place of audio)
# Data
train_set=train      # set of data/ to train on; "": nothing is transcribed, and --teacher_dir labels --unlabelled_set
valid_set=dev        # set to choose the best epochs by
test_sets="test"     # sets to decode and score
data_opts=""         # options for local/data.sh (the recipe's run.sh fills them in)
unlabelled_set=""    # set of data/ that nobody has transcribed; without one, what --transcribed leaves of train_set
transcribed=1        # share of the training audio taken as transcribed; the rest is used as untranscribed audio
split_seed=1         # seed of that split
feats_type=fbank     # features: fbank (80 log-mel bins) or spectrogram (161 bins of 20 ms, as conf/munim2018 takes them)
speed=""             # speed factors of the training audio, as in 0.9,1.0,1.1; without any it stays as it is
min_duration=""      # seconds; shorter clips are counted and left out; without it a clip that has no frame ends the stage
audio_opts=""        # for commands that read audio: "--resample" converts other rates, "--channel 2" takes one of several
cmvn=global          # mean and variance normalisation: global or speaker
token_type=char      # char, unigram, bpe or word
vocab=100            # number of sentencepiece units, or of the most frequent words (char takes what the text holds)
src_vocab=""         # the same of text that is translated; without it --vocab
joint_tokens=false   # translation: one token list of both texts
nlsyms=""            # file of non-linguistic symbols (<NOISE>), one a line; left out of scores
# Models
teacher_config=conf/teacher.yaml  # configuration of the teacher
teacher_dir=""       # a finished ESPnet model (its directory, or a pack) to use as the teacher, instead of training one
teacher_opts=""      # options of kdasr adopt for it, as in "--lang eng --task asr" for an S2T model (OWSM)
student_configs=conf/student.yaml  # configuration of the students; with several, each student recipe has a student of each
teacher_fine_tune_config=""  # of the teacher itself, trained further; that of the teacher if none is named
fine_tune_configs="" # of students that start from another, one for each of student_configs; if none is named, those themselves
students="refs nbest pseudo_soft oracle"  # student recipes: names in utils/students or conf/students, or files
folds=2              # parts of the transcribed audio for the student recipes crossfit*: as many more teachers
train_opts=""        # ESPnet's own options for every training, as in "--max_epoch 10"
target_opts=""       # further options of every kdasr targets, as in "--max_wer 20"
# Search
gpu_inference=false  # search on GPUs, one a job
nbest=5              # hypotheses an utterance that the teacher writes
beam=5               # beam of the N-best and of the decode tag "beam"
ctc_weight=0.3       # weight of CTC in them
nbest_opts=""        # further options of kdasr nbest
decode_tags="greedy beam"  # how to decode: greedy (beam 1, no CTC), beam (--beam), beam20 (of 20), attention5 (beam 5, no
                     # CTC), attention5_token (of these the best score a token)
decode_opts=""       # further options of kdasr decode
score_opts=""        # further options of kdasr score, as in --wsj_filter
ppl=false            # whether stage 6 computes perplexities on references, too
decode_nj=1          # jobs that one decoding is cut into (small sets: 1; nj decodings run side by side)
# Language models
lm=false             # run stages 8 and 9 on the way, too (they also run where --stage or --stop_stage is 8 or 9)
lm_text_opts=""      # options for kdasr data text (the recipe's run.sh fills them in); without any the transcripts are the text
lm_vocab=0           # most frequent words that the language models know (0: all)
lm_min_count=1       # words that occur less often share one class
lm_teacher_config=conf/lm_teacher.yaml  # configuration of their teachers
lm_student_config=conf/lm_student.yaml  # configuration of their students
lm_teacher_seeds="1 2"  # a teacher for each; their mean is the teacher of the students
lm_seeds="1"         # seeds of the students: one of each objective for each
lm_objectives="ce kl fixed trust"  # how they learn: ce, kl, fixed, constant, trust, adaptive, conditional
lm_ce_opts=""        # settings of students on labels alone over their configuration, as in "drop_input=0.1"
lm_opts=""           # further settings of every training of these, as in "epochs=5"
lm_stored=0          # words kept of the teachers' distributions, stored once (all: every word; 0: teachers read along)
rescore="teacher"    # whose N-best lists are reranked: teacher, or recipes of --students
rescore_beam=20      # beam, and hypotheses, of these lists
rescore_opts=""      # further options of kdasr rescore on the validation set, as in "--grid lm=0:2:0.1"
lm_results=""        # the table of language models; RESULTS.md in EXPDIR/lm if no other is named
# Export
exports=""           # student recipes whose students are exported (none: no one); if no one is named, the last of
                     # --students that is neither a baseline nor an oracle
export_opts="--int8" # further options of kdasr export, as in --licence CC-BY-4.0
# Where
datadir=data         # Kaldi data directories
dumpdir=dump         # features and token lists
expdir=exp           # models and results
results=""           # the table, with all details beside it as .csv; RESULTS.md in EXPDIR if no other is named
figures=""           # file that what was measured is added to; the table shows all that it holds
tag=""               # added to the names of the model directories, to keep runs apart
note=""              # a sentence that the table carries
corpus_note=""       # another, on the corpus (the recipe's run.sh fills it in)
# End configuration section.

# shellcheck disable=SC2034
help_message="Usage: ./run.sh [options]                      (in egs/wsj, egs/an4, ...)

Distils a speech recogniser, or a translator: trains a teacher, writes its N-best, trains students on them, decodes,
scores, and writes a table. Stages, by number or name:
   1 data     corpus -> data/SET
   2 feats    data/SET -> dump/FEATS_TYPE/SET, and the split into transcribed and untranscribed audio
   3 teacher  features -> dump/tokens/TYPE, exp/teacher_*
   4 nbest    teacher, training audio -> exp/teacher_*/nbest_SET
   5 student  N-best or references -> exp/student_*: the same network by each student recipe of --students, among them
                refs     references of the transcribed audio
                nbest    the teacher's N-best of the transcribed audio, weighted by posterior
                pseudo_soft  references, the teacher's N-best of the untranscribed audio, and its distributions
                oracle   references of all audio, as if the rest had been transcribed by hand
                word, seq_k5_b5, crossfit, inter, all_three, ensemble, prune80, ...: see docs/student-recipes.md
   6 decode   models, test sets -> exp/MODEL/decode_TAG/SET
   7 score    -> exp/MODEL/decode_TAG/SET/score_wer, score_cer
   8 lm       text, or transcripts -> exp/lm/teacher_s*, exp/lm/student_OBJECTIVE_s*, and their perplexities
   9 rescore  N-best of the test sets, ranked anew by each language model -> exp/lm/*/rescore_*, exp/lm/RESULTS.md
                8 and 9 run with --lm true, or where --stage or --stop_stage names one of them
  10 report   scores -> exp/RESULTS.md and .csv, and exp/report.html, a page to look at
  11 export   a student -> exp/student_*/bundle.zip, one file that transcribes without torch; its card has its own WER

  ./run.sh                                   # everything; run again, it continues where it stopped
  ./run.sh --stage teacher --stop_stage 5    # stages 3 to 5
  ./run.sh --nj 8 --seeds '1 2 3'            # eight processes, three students of each recipe
  ./run.sh --students 'refs word seq_k5_b5 conf/students/mine.yaml'
  ./run.sh --student_configs 'conf/student.yaml conf/small_student.yaml'   # students of two sizes
  ./run.sh --teacher_dir /models/asr_wsj     # distil a finished ESPnet model
  ./run.sh --stage 6 --decode_tags beam20    # another search; the results of others stay
  ./run.sh --stage lm --stop_stage rescore   # language models, and what they make of the teacher's lists
  ./run.sh --stage report --results RESULTS.md --figures figures.jsonl   # the table that the recipe keeps in git
  ./run.sh --submit slurm --nj 32 --stage 3  # on a cluster; kdasr jobs status exp shows how the stages stand

A finished step has a file .done, which holds its settings and inputs. To redo a step, remove its
directory; with .done alone removed, the step runs again on what is there."

words=("$@")
utils="$(dirname "${BASH_SOURCE[0]}")"
# shellcheck disable=SC2034  # read by parse_options.sh: what the user called
parse_options_program="${KDASR_COMMAND:+run.sh}"
parse_options_renamed="tune_configs=fine_tune_configs"
# shellcheck source=utils/parse_options.sh
. "${utils}/parse_options.sh"
[ $# -eq 0 ] || { echo "kd.sh: ERROR: $1: options begin with -- and take one value; ./run.sh --help lists them" >&2; exit 1; }
# shellcheck source=utils/run_recipe.sh
. "${utils}/run_recipe.sh" kd
