"""`kdasr targets`: N-best hypotheses -> what a student trains on."""

from __future__ import annotations

import argparse

from kdasr.targets import gather
from kdasr.targets.filters import Limits
from kdasr.targets.select import SELECTIONS, SIMILARITIES, UNREFERENCED, Selection

EXAMPLES = """examples:
  # the teacher's 5-best of its training audio, weighted by posterior
  kdasr targets --nbest exp/teacher/nbest_train --tokens dump/tokens/char --out exp/student/targets
  # references where there are some, hypotheses of untranscribed audio elsewhere
  kdasr targets --nbest exp/teacher/nbest_more --refs dump/fbank/train/text --tokens dump/tokens/char \\
      --out exp/student/targets
  # Mun'im et al. 2018: five equal targets; and how wrong they are
  kdasr targets --nbest exp/teacher/nbest_train --select topk --k 5 --against dump/fbank/train/text \\
      --tokens dump/tokens/char --out exp/s/targets
  # Kim & Rush 2016, interpolation: of 35 hypotheses the one nearest the reference
  kdasr targets --nbest exp/teacher/nbest_train --select best --k 35 --similarity bleu \\
      --against dump/fbank/train/text --tokens dump/tokens/char --out exp/s/targets
  # cross-fitting: each part of the training audio is decoded by a teacher that was trained on the others
  kdasr targets --nbest exp/teacher1/nbest_fold1 exp/teacher2/nbest_fold2 --tokens dump/tokens/char --out exp/s/targets
  # a poor teacher: what its wide and its narrow beam hear alike, and what it is sure of; and how right that is
  kdasr targets --nbest exp/teacher/nbest_more --agree exp/teacher/nbest_more_b1 --max_disagreement 10 \\
      --min_token_score -0.3 --truth data/more/text --tokens dump/tokens/char --out exp/s/targets
  # only what the teacher gets nearly right
  kdasr targets --nbest exp/teacher/nbest_train --max_wer 10 --against dump/fbank/train/text \\
      --tokens dump/tokens/char --out exp/s/targets
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr targets`."""
    add = parser.add_argument
    how, limits = Selection(), Limits()
    add("--nbest", nargs="*", default=[], metavar="DIR", help="N-best directories (kdasr nbest)")
    add("--refs", nargs="*", default=[], metavar="TEXT", help="Kaldi texts whose utterances train on their reference")
    add("--against", nargs="*", default=[], metavar="TEXT", help="Kaldi texts to measure hypotheses against")
    add("--truth", nargs="*", default=[], metavar="TEXT", help="Kaldi texts that say how right the selection is, which "
        "does not look at them")  # fmt: skip
    add("--tokens", required=True, metavar="DIR", help="the token directory that teacher and student share")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add(
        "--select",
        choices=SELECTIONS,
        default=how.select,
        help="targets: topk, the k best with equal weights; posterior, weighted as the teacher does (default); wer, "
        "weighted by exp(-beta WER); best, the one nearest the reference; mix, the reference and the k best",
    )
    add("--k", type=int, default=how.k, help="hypotheses taken of an utterance (default 5)")
    add("--temperature", type=float, default=how.temperature, help="posterior, mix: divides the scores (default 1)")
    add(
        "--min_weight",
        type=float,
        default=how.min_weight,
        help="posterior, wer, mix: leave out hypotheses of less weight (default 0.02)",
    )
    add("--beta", type=float, default=how.beta, help="wer: how fast weights fall with WER as a fraction (default 10)")
    add(
        "--similarity",
        choices=SIMILARITIES,
        default=how.similarity,
        help="best: fewest word errors (default), or highest smoothed sentence BLEU",
    )
    add("--ref_weight", type=float, default=how.ref_weight, help="mix: weight of the reference (default 0.5)")
    add(
        "--unreferenced",
        choices=UNREFERENCED,
        default="refuse",
        help="utterances without the reference that wer, best, mix, --max_wer or --length_ratio need: refuse them "
        "(default), weight them by posterior (with topk: equally) without these filters, or drop them",
    )
    add(
        "--max_repeat",
        type=int,
        default=limits.max_repeat,
        help="drop a hypothesis with a word sequence repeated this often in a row (default 4)",
    )
    fewest = "drop those of fewer input frames a token (4), or source tokens a token (0.25)"
    add("--min_frames", type=float, default=limits.min_frames, help=fewest)
    add("--max_frames", type=float, default=limits.max_frames, help="drop those of more input frames a token (off)")
    add("--max_wer", type=float, default=limits.max_wer, metavar="PERCENT", help="drop those of a larger WER (off)")
    add(
        "--length_ratio",
        type=float,
        default=limits.length_ratio,
        metavar="R",
        help="drop those over R times longer or shorter than the reference, in tokens (off)",
    )
    add(
        "--min_token_score",
        type=float,
        default=limits.min_token_score,
        metavar="S",
        help="drop those of a lower score a token, a natural logarithm, as -0.5 (off)",
    )
    add(
        "--max_ctc_gap",
        type=float,
        default=limits.max_ctc_gap,
        metavar="D",
        help="drop those whose scores by attention and by CTC differ by more than D a token (off)",
    )
    add("--agree", nargs="*", default=[], metavar="DIR", help="N-best directories of another system")
    add(
        "--max_disagreement",
        type=float,
        default=limits.max_disagreement,
        metavar="PERCENT",
        help="drop utterances where the best of --nbest has a larger WER against the best of --agree (off)",
    )


def run(args: argparse.Namespace) -> None:
    """Select, filter and write targets; print what was left out."""
    gather.run(
        gather.Sources(
            nbest=tuple(args.nbest),
            refs=tuple(args.refs),
            against=tuple(args.against),
            truth=tuple(args.truth),
            agree=tuple(args.agree),
            tokens=args.tokens,
            out=args.out,
            how=Selection(*(getattr(args, name) for name in Selection._fields)),
            limits=Limits(*(getattr(args, name) for name in Limits._fields)),
            unreferenced=args.unreferenced,
        )
    )
