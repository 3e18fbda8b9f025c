"""What a search is told: its options, as ESPnet names them, and the limits that follow for an utterance."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from kdasr.errors import UserError


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
    """

    beam: int = 5
    nbest: int = 5
    ctc_weight: float = 0.3
    penalty: float = 0.0
    maxlenratio: float = 0.0
    minlenratio: float = 0.0
    normalize_length: bool = False
    soft_targets: int = 0

    def check(self, vocab: int | None = None) -> SearchOptions:
        """Itself, or a UserError that names the option out of range."""
        if self.beam < 1 or self.nbest < 1:
            raise UserError(f"--beam {self.beam} --nbest {self.nbest}: expected numbers of at least 1")
        if not 0.0 <= self.ctc_weight <= 1.0:
            raise UserError(f"--ctc_weight {self.ctc_weight}: expected a weight from 0 to 1")
        if -1.0 < self.maxlenratio < 0.0 or -1.0 < self.minlenratio < 0.0:
            raise UserError("--maxlenratio and --minlenratio: a negative value is a number of tokens, -1 or below")
        if vocab is not None and self.beam > vocab:
            raise UserError(f"--beam {self.beam}: more than the model's {vocab} tokens; give a smaller beam")
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
        "--ctc_weight",
        type=float,
        default=default.ctc_weight,
        help="weight of CTC prefix scores, 0 to 1 (default %(default)s)",
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
    return SearchOptions(
        beam=args.beam,
        nbest=getattr(args, "nbest", 1),
        ctc_weight=args.ctc_weight,
        penalty=args.penalty,
        maxlenratio=args.maxlenratio,
        minlenratio=args.minlenratio,
        normalize_length=args.normalize_length,
    ).check()
