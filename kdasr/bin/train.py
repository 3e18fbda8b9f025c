"""`kdasr train`: a teacher or a student, with ESPnet's trainer."""

from __future__ import annotations

import argparse

from kdasr.asr import train
from kdasr.asr.settings import LEARNS_FROM
from kdasr.asr.training import Training
from kdasr.bin.audio_arguments import add_audio_arguments, read_audio_arguments

EXAMPLES = """examples:
  # a teacher on the transcribed part
  kdasr train --config conf/mini_teacher.yaml --train dump/fbank/train --valid dump/fbank/dev \\
      --tokens dump/tokens/char --out exp/teacher
  # a student on the teacher's hypotheses (of two sets: transcribed and untranscribed)
  kdasr train --config conf/mini_student.yaml --train dump/fbank/train dump/fbank/more --targets exp/student/targets \\
      --valid dump/fbank/dev --tokens dump/tokens/char --out exp/student --role student --teacher teacher
  # a student that starts from its teacher's weights; --mask with a pruned model's keeps the pruned ones at zero
  kdasr train --config conf/mini_student.yaml ... --init exp/teacher --out exp/student --role student
  # word-level distillation, from the soft targets of `kdasr soft`; or from the teacher itself, run beside the student
  kdasr train ... --targets exp/student/targets --kd word_weight=0.5 temperature=2 --out exp/student
  kdasr train ... --kd word_weight=0.5 teachers=[exp/teacher] --out exp/student
  # a model that translates: source text (text.src of the sets) in place of audio, with tokens of its own
  kdasr train --config conf/teacher.yaml --train data/train --valid data/val --src_tokens dump/tokens/en \\
      --tokens dump/tokens/de --out exp/teacher
  # ESPnet's own options behind --
  kdasr train --config conf/wsj_teacher.yaml ... --out exp/big --ngpu 4 -- --use_amp true --max_epoch 50
  # on four GPUs of each of two nodes
  slurm.py --num_nodes 2 --gpu 4 exp/big/log/train.log kdasr train ... --nodes 2 --ngpu 4 --out exp/big
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr train`."""
    add = parser.add_argument
    add("--config", required=True, help="ESPnet training config: networks, optimiser, epochs")
    add("--train", required=True, nargs="+", metavar="DIR", help="feature directories to train on")
    add("--valid", required=True, metavar="DIR", help="feature directory to choose epochs by")
    add("--tokens", required=True, metavar="DIR", help="token directory (kdasr tokens)")
    add(
        "--src_tokens", metavar="DIR", help="token directory of source text: the model translates (kdasr data parallel)"
    )
    add("--targets", metavar="DIR", help="train on these hypotheses (kdasr targets) instead of the references")
    add(
        "--kd",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="how to learn from a teacher: word_weight, temperature, divergence, teachers, ... (kdasr/asr/settings.py)",
    )
    add("--out", required=True, metavar="DIR", help="model directory to write")
    add("--seed", type=int, default=1, help="of initial weights, batch order and dropout (default 1)")
    add_audio_arguments(parser)
    add("--ngpu", type=int, default=0, help="GPUs of a node to train on, a process each (default 0: CPU)")
    add("--processes", type=int, default=1, help="without GPUs: processes of a node that train together (default 1)")
    add("--nodes", type=int, default=1, help="nodes of this SLURM job that train together (default 1)")
    add(
        "--init",
        metavar="DIR",
        help="start from this model's weights, as far as names and shapes agree; of more layers, evenly spaced ones",
    )
    add("--mask", metavar="FILE", help="keep at zero what this mask prunes (mask.pth of kdasr prune)")
    add("--role", choices=("teacher", "student"), default="teacher", help="what the model is (default teacher)")
    add("--label", default="", help="what reports call it (default: the role)")
    add("--teacher", metavar="NAME", help="model directory, beside --out, that made the targets")
    add("--recipe", default="", metavar="NAME", help="its student recipe: models of one recipe are runs of one kind")
    add("--learned_from", choices=LEARNS_FROM, help="what it learns (default without --targets: references)")
    add("--network", default="", metavar="NAME", help="what tables call its network, if not the recipe's usual one")
    add("--baseline", action="store_true", help="other students are compared with it")
    add("--oracle", action="store_true", help="it has seen labels that the others have not")
    add("espnet", nargs="*", help="further options of espnet2.bin.asr_train, behind --")


def read_arguments(args: argparse.Namespace) -> Training:
    """The training that the options describe."""
    return Training(
        config=args.config,
        train=tuple(args.train),
        valid=args.valid,
        tokens=args.tokens,
        src_tokens=args.src_tokens,
        out=args.out,
        targets=args.targets,
        kd=tuple(args.kd),
        seed=args.seed,
        ngpu=args.ngpu,
        processes=args.processes,
        nodes=args.nodes,
        init=args.init,
        mask=args.mask,
        role=args.role,
        label=args.label,
        teacher=args.teacher,
        recipe=args.recipe,
        learned_from=args.learned_from,
        network=args.network,
        baseline=args.baseline,
        oracle=args.oracle,
        reading=read_audio_arguments(args),
        espnet=tuple(args.espnet),
    )


def run(args: argparse.Namespace) -> None:
    """Check the inputs, train, and record what was trained."""
    train.run(read_arguments(args))
