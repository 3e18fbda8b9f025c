"""The options that `kdasr nbest` and `kdasr decode` share."""

from __future__ import annotations

import argparse

from kdasr.bin.audio_arguments import add_audio_arguments, read_audio_arguments
from kdasr.bin.prompt_arguments import add_prompt_arguments, read_prompt
from kdasr.errors import UserError
from kdasr.models import translates
from kdasr.nbest.write import Decoding, Processes
from kdasr.search.options import LM_WEIGHT, Computing, SearchOptions


def add_io_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """What `kdasr nbest` and `kdasr decode` read and write."""
    parser.add_argument(
        "--model",
        required=True,
        nargs="+",
        metavar="DIR",
        help="directory of a trained ESPnet2 model; several of one token list decode as an ensemble",
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="data directory: feats.scp, wav.scp or text.src")
    parser.add_argument("--out", required=True, metavar="DIR", help=out)
    parser.add_argument("--model_file", metavar="NAME", help="checkpoint in --model (default valid.acc.ave.pth)")
    add_audio_arguments(parser)
    add_prompt_arguments(parser)


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
        help=f"weight of CTC prefix scores, 0 to 1 (default {default.ctc_weight}; 0 for a model that translates)",
    )
    group.add_argument(
        "--ctc_window",
        type=int,
        default=0,
        metavar="FRAMES",
        help="CTC reads only so many encoder frames around where the decoder attends: faster, with other scores "
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
    group.add_argument(
        "--replace_unk",
        action="store_true",
        help="of a translation in words: write the source word attended to in place of <unk>",
    )
    group.add_argument(
        "--bf16",
        action="store_true",
        help="bfloat16 in the encoder and large layers, on a CPU that has it (AVX512-BF16, AMX): faster, scores differ "
        "in the third digit",
    )
    group = parser.add_argument_group("batching and processes (these change no result)")
    group.add_argument(
        "--batch_frames",
        type=int,
        default=Computing.batch_frames,
        help="padded input frames (10 ms) x beam in a batch, at most; memory and speed (default %(default)s)",
    )
    group.add_argument("--nj", type=int, default=1, help="processes on this machine (default %(default)s)")
    group.add_argument("--job", metavar="J/N", help="be process J of N that share the work; afterwards run --merge")
    group.add_argument("--merge", action="store_true", help="check what the jobs wrote and finish it")
    group.add_argument("--shard_size", type=int, default=256, help="utterances a shard (default %(default)s)")
    group.add_argument("--ngpu", type=int, default=0, help="0: CPU; else jobs take the GPUs in turn (default 0)")
    group.add_argument(
        "--graphs", action="store_true", help="on a GPU: record a search step and replay it, as a CUDA graph"
    )


def read_arguments(args: argparse.Namespace) -> Decoding:
    """What to decode, and how; UserError when an option is out of range."""
    if args.lm is None and (args.lm_weight is not None or args.lm_file is not None):
        raise UserError("--lm_weight and --lm_file: there is no language model to use them for; give --lm DIR, too")
    if args.log_linear and len(args.model) < 2:
        raise UserError("--log_linear: there is one model, and nothing to average; give all: --model DIR1 DIR2")
    weight = LM_WEIGHT if args.lm_weight is None else args.lm_weight
    ctc_weight = args.ctc_weight
    if ctc_weight is None:
        ctc_weight = 0.0 if translates(args.model[0]) else SearchOptions.ctc_weight
    options = SearchOptions(
        beam=args.beam,
        nbest=getattr(args, "nbest", 1),
        ctc_weight=ctc_weight,
        penalty=args.penalty,
        maxlenratio=args.maxlenratio,
        minlenratio=args.minlenratio,
        normalize_length=args.normalize_length,
        lm_weight=weight if args.lm is not None else 0.0,
        ctc_window=args.ctc_window,
        log_linear=args.log_linear,
    ).check()
    return Decoding(
        models=tuple(args.model),
        data=args.data,
        out=args.out,
        model_file=args.model_file,
        lm=args.lm,
        lm_file=args.lm_file,
        options=options,
        processes=Processes(args.nj, args.job, args.merge, args.shard_size, args.batch_frames, args.ngpu, args.graphs),
        reading=read_audio_arguments(args),
        prompt=read_prompt(args),
        replace_unk=args.replace_unk,
        bf16=args.bf16,
    )
