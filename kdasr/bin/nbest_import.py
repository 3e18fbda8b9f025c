"""`kdasr nbest import`: hypotheses of any other system -> N-best archive."""

from __future__ import annotations

import argparse

from kdasr.data.normalise import STEPS, parse_steps
from kdasr.outside import FORMATS
from kdasr.outside.heard import MEAN, SUM

EXAMPLES = """examples:
  # what Whisper (or faster-whisper, whisperX) wrote as JSON, a file an utterance, for a teacher with capital letters
  kdasr nbest import --format whisper --in whisper_json --normalize case,punctuation \\
      --data dump/fbank/train_unlab0.5 --tokens dump/tokens/char --out exp/whisper/nbest_train_unlab0.5
  # ESPnet's N-best lists: logdir/output.*/1best_recog, 2best_recog, ...
  kdasr nbest import --format espnet --in espnet/exp/asr/decode_train/logdir --data dump/fbank/train \\
      --tokens dump/tokens/bpe --out exp/espnet/nbest_train
  # Kaldi's, with texts and scores or costs by UTTERANCE-n; or what kdasr nbest export wrote
  kdasr nbest import --format kaldi --in exp/tri4b/decode_train_nbest --data data/train --tokens dump/tokens/char \\
      --out exp/tri4b/nbest_train
  # lines {"id": "utt1", "text": "HELLO WORLD", "score": -1.5}, several of an id are its N-best list
  kdasr nbest import --format jsonl --in hyps.jsonl --data data/train --tokens dump/tokens/char --out mine/nbest
  # one transcript an utterance, without scores
  kdasr nbest import --format text --in mine/text --data data/train --tokens dump/tokens/char --out mine/nbest
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr nbest import`."""
    add = parser.add_argument
    add("--format", required=True, choices=FORMATS, help="what wrote the hypotheses (docs/hypotheses.md)")
    add("--in", required=True, nargs="+", metavar="PATH", dest="sources", help="files or directories to read")
    add("--data", required=True, metavar="DIR", help="data directory of the utterances that were recognised")
    add("--tokens", required=True, metavar="DIR", help="the token directory that students use")
    add("--out", required=True, metavar="DIR", help="archive to write")
    add(
        "--normalize",
        default="",
        metavar="STEPS",
        help=f"what is done to texts, as case,punctuation; of {', '.join(STEPS)} (default: nothing)",
    )
    add(
        "--max_unknown",
        type=float,
        default=1.0,
        metavar="PERCENT",
        help="refuse texts of which the tokens do not know more than this share of units (default 1)",
    )
    add(
        "--scores",
        choices=(SUM, MEAN),
        help="what a score is: the sum of log probabilities over tokens, or their mean (default: whisper mean, else "
        "sum)",
    )
    add("--acoustic_scale", type=float, metavar="A", help="of Kaldi's costs (default: that of the lists' order)")


def run(args: argparse.Namespace) -> None:
    """Import, and print what was read and what is unknown."""
    from kdasr.outside import write

    write.run(
        write.Importing(
            format=args.format,
            sources=tuple(args.sources),
            data=args.data,
            tokens=args.tokens,
            out=args.out,
            normalize=parse_steps(args.normalize),
            max_unknown=args.max_unknown,
            score_kind=args.scores,
            acoustic_scale=args.acoustic_scale,
        )
    )
