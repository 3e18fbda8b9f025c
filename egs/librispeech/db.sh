# Where the corpus is. `--librispeech DIR` on the command line wins over what is set here.
# shellcheck shell=bash disable=SC2034  # read by run.sh

# openslr.org/31 (train-clean-5, dev-clean-2) or openslr.org/12 (all sets), unpacked: the directory with the sets in it.
LIBRISPEECH=
