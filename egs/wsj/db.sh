# Where the corpora are. `--wsj0 DIR --wsj1 DIR` on the command line win over what is set here.
# shellcheck shell=bash disable=SC2034  # read by run.sh

# LDC93S6A (or B) and LDC94S13A (or B): each a directory that holds the discs 11-1.1 ... 11-15.1 and
# 13-1.1 ... 13-34.1 (or a merged copy, with wsj0/ or wsj1/ in it).
WSJ0=
WSJ1=
