# Where the corpus is. `--an4 DIR` on the command line wins over what is set here.
# shellcheck shell=bash disable=SC2034  # read by run.sh

# CMU's AN4 (an4_raw.bigendian, an4_sphere or a .wav/.flac copy): a directory with etc/ and wav/ in it.
AN4=
