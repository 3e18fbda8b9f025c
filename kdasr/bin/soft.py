"""`kdasr soft`: a teacher's distribution at each step of what a student trains on."""

from __future__ import annotations

import argparse

from kdasr.bin.audio_arguments import add_audio_arguments, read_audio_arguments
from kdasr.bin.prompt_arguments import add_prompt_arguments, read_prompt
from kdasr.losses import MEANS
from kdasr.targets import soft

EXAMPLES = """examples:
  # word-level distillation on references: the teacher's distribution at each of their tokens
  kdasr targets --refs dump/fbank/train/text --tokens dump/tokens/char --out exp/teacher/targets_word
  kdasr soft --model exp/teacher --targets exp/teacher/targets_word --data dump/fbank/train --nj 2
  # an ensemble's mean, all of the vocabulary
  kdasr soft --model exp/teacher_a exp/teacher_b --targets exp/t --data dump/fbank/train dump/fbank/more --kept 0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr soft`."""
    add = parser.add_argument
    add("--model", required=True, nargs="+", metavar="DIR", help="the teacher; several are an ensemble")
    add("--model_file", metavar="NAME", help="checkpoint in --model (default valid.acc.ave.pth)")
    add("--targets", required=True, metavar="DIR", help="targets directory (kdasr targets); soft.scp is written there")
    add("--data", required=True, nargs="+", metavar="DIR", help="feature directories of its utterances")
    add("--kept", type=int, default=8, metavar="J", help="most probable tokens kept a step, 0 for all (default 8)")
    add("--ctc", action="store_true", help="also what its CTC branch gives in each encoded frame (ctc.scp)")
    add("--ensemble", choices=MEANS, default="arithmetic", help="mean of several teachers (default arithmetic)")
    add("--weights", type=float, nargs="+", metavar="W", help="of the teachers, summing to 1 (default equal)")
    add("--batch_frames", type=int, default=40000, help="padded frames x hypotheses in a batch (default 40000)")
    add("--nj", type=int, default=1, help="processes on this machine (default 1)")
    add("--job", metavar="J/N", help="be process J of N that share the work; afterwards run --merge")
    add("--merge", action="store_true", help="put together what the jobs made")
    add_audio_arguments(parser)
    add_prompt_arguments(parser)
    add("--ngpu", type=int, default=0, help="0: CPU; else jobs take the GPUs in turn (default 0)")


def run(args: argparse.Namespace) -> None:
    """Make what is missing of the soft targets, and put them together."""
    soft.run(
        soft.Softening(
            models=tuple(args.model),
            targets=args.targets,
            data=tuple(args.data),
            model_file=args.model_file,
            how=soft.How(args.kept, args.ensemble, tuple(args.weights or ()), args.ctc),
            batch_frames=args.batch_frames,
            nj=args.nj,
            ngpu=args.ngpu,
            reading=read_audio_arguments(args),
            prompt=read_prompt(args),
            job=args.job,
            merge=args.merge,
        )
    )
