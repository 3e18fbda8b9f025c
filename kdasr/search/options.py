"""What a search is told: its options, as ESPnet names them, and the limits that follow for an utterance."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

from kdasr.errors import UserError

LM_WEIGHT = 0.3  # of a language model that is given without a weight


@dataclass(frozen=True)
class SearchOptions:
    """The options that decide what a search finds (how it is batched does not).

    Attributes:
        beam: hypotheses kept an utterance at each step.
        nbest: ended hypotheses returned an utterance, at most.
        ctc_weight: weight of the CTC prefix score; the attention decoder has the rest.
        penalty: added for each token (ESPnet's length bonus).
        maxlenratio: longest output in tokens: 0 is the encoder's frames, with end detection; positive is
            a share of the encoder's frames; negative is that many tokens.
        minlenratio: shortest output, likewise; 0 is none.
        normalize_length: order the N-best by score a token rather than by score.
        soft_targets: keep so many of the decoder's most probable tokens at each step of a hypothesis; 0 for none.
        lm_weight: weight of the language model's log probabilities, if there is one.
        ctc_window: CTC reads only so many encoder frames on either side of where a hypothesis attends; 0 for all.
        log_linear: average the log probabilities of an ensemble's models rather than their probabilities.
    """

    beam: int = 5
    nbest: int = 5
    ctc_weight: float = 0.3
    penalty: float = 0.0
    maxlenratio: float = 0.0
    minlenratio: float = 0.0
    normalize_length: bool = False
    soft_targets: int = 0
    lm_weight: float = 0.0
    ctc_window: int = 0
    log_linear: bool = False

    def check(self, vocab: int | None = None) -> SearchOptions:
        """Itself, or a UserError that names the option out of range."""
        if self.beam < 1 or self.nbest < 1:
            raise UserError(f"--beam {self.beam} --nbest {self.nbest}: expected numbers of at least 1")
        if not 0.0 <= self.ctc_weight <= 1.0:
            raise UserError(f"--ctc_weight {self.ctc_weight}: expected a weight from 0 to 1")
        if self.ctc_window < 0:
            raise UserError(f"--ctc_window {self.ctc_window}: expected a number of encoder frames, 0 for all")
        for name in ("lm_weight", "penalty", "maxlenratio", "minlenratio"):
            if not math.isfinite(getattr(self, name)):
                raise UserError(f"--{name} {getattr(self, name)}: expected a finite number")
        if -1.0 < self.maxlenratio < 0.0 or -1.0 < self.minlenratio < 0.0:
            raise UserError("--maxlenratio and --minlenratio: a negative value is a number of tokens, -1 or below")
        if self.soft_targets < 0 or (self.soft_targets and self.ctc_weight == 1.0):
            raise UserError(
                f"--soft_targets {self.soft_targets}: expected 0 or more, and an attention decoder to take them from; "
                "give --ctc_weight below 1"
            )
        if vocab is not None and self.soft_targets > vocab:
            raise UserError(f"--soft_targets {self.soft_targets}: more than the model's {vocab} tokens; give fewer")
        return self

    def limits(self, frames: int) -> tuple[int, int]:
        """The longest and shortest output (tokens) of an utterance with so many encoder frames."""
        if self.maxlenratio == 0:
            longest = frames
        elif self.maxlenratio < 0:
            longest = -int(self.maxlenratio)
        else:
            longest = max(1, int(self.maxlenratio * frames))
        shortest = -int(self.minlenratio) if self.minlenratio < 0 else int(self.minlenratio * frames)
        return longest, shortest


def add_search_arguments(parser: argparse.ArgumentParser, nbest: bool) -> None:
    """The options of `kdasr nbest` and `kdasr decode`; the latter has no --nbest."""
    default = SearchOptions()
    group = parser.add_argument_group("search (ESPnet's meanings)")
    group.add_argument("--beam", type=int, default=default.beam, help="hypotheses kept a step (default %(default)s)")
    if nbest:
        group.add_argument("--nbest", type=int, default=5, help="hypotheses written an utterance (default %(default)s)")
        group.add_argument(
            "--soft_targets",
            type=int,
            default=0,
            metavar="J",
            help="write the decoder's J most probable tokens at each step of each hypothesis, too (default 0: none)",
        )
    group.add_argument(
        "--ctc_weight",
        type=float,
        default=default.ctc_weight,
        help="weight of CTC prefix scores, 0 to 1 (default %(default)s)",
    )
    group.add_argument(
        "--ctc_window",
        type=int,
        default=0,
        metavar="FRAMES",
        help="CTC reads only encoder frames this near to where the decoder attends: faster on long audio, other scores "
        "(default 0: all)",
    )
    group.add_argument("--penalty", type=float, default=0.0, help="added for each token (default %(default)s)")
    group.add_argument(
        "--maxlenratio",
        type=float,
        default=0.0,
        help="longest output: 0 = encoder frames and end detection; R = R x encoder frames; -N = N tokens (default 0)",
    )
    group.add_argument("--minlenratio", type=float, default=0.0, help="shortest output, likewise (default 0: none)")
    group.add_argument("--normalize_length", action="store_true", help="order hypotheses by score a token")
    group.add_argument("--lm", metavar="DIR", help="ESPnet2 language model for shallow fusion, over the model's tokens")
    group.add_argument("--lm_file", metavar="NAME", help="checkpoint in --lm (default valid.loss.ave.pth)")
    group.add_argument(
        "--lm_weight", type=float, metavar="W", help=f"weight of its log probabilities (default {LM_WEIGHT})"
    )
    group.add_argument(
        "--log_linear",
        action="store_true",
        help="average the log probabilities of several models (default: their probabilities)",
    )
    group = parser.add_argument_group("batching and processes (these change no result)")
    group.add_argument(
        "--batch_frames",
        type=int,
        default=40000,
        help="padded input frames (10 ms) x beam in a batch, at most; memory and speed (default %(default)s)",
    )
    group.add_argument("--nj", type=int, default=1, help="processes on this machine (default %(default)s)")
    group.add_argument("--job", metavar="J/N", help="be process J of N that share the work; afterwards run --merge")
    group.add_argument("--merge", action="store_true", help="check what the jobs wrote and finish it")
    group.add_argument("--shard_size", type=int, default=256, help="utterances a shard (default %(default)s)")
    group.add_argument("--ngpu", type=int, default=0, help="0: CPU; else jobs take the GPUs in turn (default 0)")


def from_arguments(args: argparse.Namespace) -> SearchOptions:
    """Search options from parsed arguments; UserError when one is out of range."""
    if args.lm is None and (args.lm_weight is not None or args.lm_file is not None):
        raise UserError("--lm_weight and --lm_file: there is no language model to use them for; give --lm DIR, too")
    if args.log_linear and len(args.model) < 2:
        raise UserError("--log_linear: there is one model, and nothing to average; give all: --model DIR1 DIR2")
    weight = LM_WEIGHT if args.lm_weight is None else args.lm_weight
    return SearchOptions(
        beam=args.beam,
        nbest=getattr(args, "nbest", 1),
        ctc_weight=args.ctc_weight,
        penalty=args.penalty,
        maxlenratio=args.maxlenratio,
        minlenratio=args.minlenratio,
        normalize_length=args.normalize_length,
        soft_targets=getattr(args, "soft_targets", 0),
        lm_weight=weight if args.lm is not None else 0.0,
        ctc_window=args.ctc_window,
        log_linear=args.log_linear,
    ).check()
