#!/usr/bin/env python3
"""Whether a GPU gives what the CPU gives, and how fast it is, in one table; a few minutes.

Examples:
  tools/venv/bin/python tools/check_gpu.py                          # on a machine with a GPU
  tools/venv/bin/python tools/check_gpu.py --kind rnn --utterances 200 --out gpu.md
  tools/venv/bin/python tools/check_gpu.py --device cpu --small     # no GPU: shows that this program itself runs

Rows, of each kind of network (tools/bench_models.py; random weights, WSJ's sizes and lengths, nothing is downloaded):
  N-best     utterances whose N-best texts, in order, are the CPU's; and the largest difference of a score
  single     likewise, decoded one by one on the GPU against all in one grid there
  --graphs   likewise, with search steps as a CUDA graph against without
  speed      tokens and words of the best hypotheses, and seconds of audio, a second of wall time; with --graphs, too
  losses     of a training step on hypotheses, on distributions of tokens and of frames: the largest relative difference
             of loss and gradient from the CPU's

Lists may differ in ties alone, losses by what sums of float32 round. Exits with 1 if a list or a loss differs.
"""

# ruff: noqa: E402 (the repository is put on the path before it is imported)
from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from bench_models import RATIO, TOKENS, lengths, network, write_data, write_model
from bench_search import conditions, table

from kdasr.asr.model import KDModel, distilling
from kdasr.asr.settings import read_settings
from kdasr.espnet import prepare
from kdasr.models import Models, find_models
from kdasr.networks.load import load_model
from kdasr.search.engine import Engine
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import Row, read_rows

KINDS = ("rnn", "munim", "conformer")
LOSSES = {"hypotheses": {}, "tokens": {"word_weight": 0.5}, "frames": {"ctc_word_weight": 0.5}}
SAME = 0.97  # share of lists that has to be the CPU's: ties are rare
LOSS, GRADIENT = 1e-3, 2e-2  # relative; convolutions of a training may have ten bits on a GPU
SMALL = {  # networks of --small, over those of bench_models
    "rnn": {
        "encoder_conf": {"num_layers": 1, "hidden_size": 16, "output_size": 16},
        "decoder_conf": {"hidden_size": 16},
    },
    "munim": {"encoder_conf": {"num_layers": 1, "hidden_size": 16}, "decoder_conf": {"hidden_size": 16}},
    "conformer": {
        "encoder_conf": {"num_blocks": 1, "output_size": 16, "attention_heads": 2, "linear_units": 16},
        "decoder_conf": {"num_blocks": 1, "attention_heads": 2, "linear_units": 16},
    },
}
NO_GPU = (
    "check_gpu.py: torch finds no GPU here; run it where there is one, or give --device cpu --small to see that the "
    "program itself runs"
)


class Decoded(NamedTuple):
    """What an engine found, and how fast."""

    lists: dict[str, list[tuple[str, float]]]  # texts and scores of each utterance, best first
    seconds: float  # wall
    tokens: int  # of the best hypotheses
    words: int

    def speed(self, rows: Sequence[Row]) -> str:
        """A cell of the table."""
        audio = sum(row.seconds or 0.0 for row in rows)
        each = (self.tokens / self.seconds, self.words / self.seconds, audio / self.seconds)
        return "{:,.0f} tokens/s, {:,.0f} words/s, {:,.1f} x real time".format(*each)


class Shared(NamedTuple):
    """How two sides' lists agree."""

    same: float  # share of the utterances
    far: float  # largest difference of the scores of hypotheses at the same place with the same text

    def cell(self) -> str:
        """Of the table."""
        return f"{100 * self.same:.1f} % of the lists, scores within {self.far:.1g}"


def decoded(engine: Engine, rows: Sequence[Row], one_by_one: bool = False) -> Decoded:
    """Decode utterances, in the grid that fits or each alone."""
    for row in rows[:2]:
        list(engine.decode([row]))  # warm up
    began = time.perf_counter()
    groups = [[row] for row in rows] if one_by_one else [rows]
    records = [record for group in groups for record in engine.decode(group)]
    seconds = time.perf_counter() - began
    best = [record["hyps"][0] for record in records]
    return Decoded(
        {record["id"]: [(hyp["text"], hyp["score"]) for hyp in record["hyps"]] for record in records},
        seconds,
        sum(len(hyp["tokens"]) for hyp in best),
        sum(len(hyp["text"].split()) for hyp in best),
    )


def agree(one: Decoded, other: Decoded) -> Shared:
    """Compare two sides."""
    same, far = 0, 0.0
    for key, hyps in one.lists.items():
        others = other.lists[key]
        same += [text for text, _ in hyps] == [text for text, _ in others]
        pairs = zip(hyps, others, strict=False)
        far = max([far, *(abs(a - b) for (text, a), (spelt, b) in pairs if text == spelt)])
    return Shared(same / len(one.lists), far)


def batch_of(model: Any, seed: int = 0) -> dict[str, torch.Tensor]:
    """Four utterances of two hypotheses each, with distributions of tokens and frames."""
    random, vocabulary = torch.Generator().manual_seed(seed), len(TOKENS)
    speech = torch.randn(4, 200, 80, generator=random)  # (B, T, F)
    lens = torch.tensor([[20, 18], [15, 16], [12, 10], [9, 9]])  # (B, K)
    frames = torch.tensor([200, 180, 160, 140])  # (B,)
    with torch.no_grad():
        _, encoded = model.encode(speech.clone(), frames)

    def soft(rows: int) -> torch.Tensor:
        values, ids = torch.randn(4, rows, vocabulary, generator=random).log_softmax(2).topk(8, 2)  # (B, rows, J)
        return torch.cat((ids.float(), values), 2)  # (B, rows, 2J)

    return {
        "speech": speech,
        "speech_lengths": frames,
        "text": torch.full((4, 1), 3),
        "text_lengths": torch.ones(4, dtype=torch.long),
        "kd_hyps": torch.randint(2, vocabulary - 1, (4, 38), generator=random),
        "kd_hyp_lens": lens,
        "kd_weights": torch.tensor([[0.6, 0.4]] * 4),
        "kd_soft": soft(40),
        "kd_ctc": soft(int(encoded.max())),
        "kd_ctc_lengths": encoded.cpu(),
    }


def loss_of(model: Any, batch: dict[str, torch.Tensor], device: str) -> tuple[float, torch.Tensor]:
    """A step's loss and gradient (all weights), on a device, with nothing random."""
    model.to(device).zero_grad(set_to_none=True)
    loss, _, _ = model(**{name: x.clone().to(device) for name, x in batch.items()})
    loss.backward()
    gradient = [weight.grad.flatten().cpu() for weight in model.parameters() if weight.grad is not None]
    return loss.item(), torch.cat(gradient)


def losses(models: Models, device: str) -> Iterator[tuple[str, float, float]]:
    """Of each loss its name, and the relative differences of loss and gradient."""
    for name, kd in LOSSES.items():
        model, _ = load_model(models.first.directory, models.first.checkpoint, finished=False)
        student = distilling(model, KDModel, read_settings(kd))
        student.training = True  # only what asks for it: dropout stays off
        batch = batch_of(student)
        here, slope = loss_of(student, batch, "cpu")
        there, other = loss_of(student, batch, device)
        yield name, abs(there - here) / abs(here), float((other - slope).norm() / slope.norm())


def checked(kind: str, args: argparse.Namespace, scratch: Path) -> tuple[list[dict[str, str]], bool]:
    """Rows of the table for a kind of network, and whether all is as it should be."""
    settings = network(kind)
    for part, sizes in SMALL[kind].items() if args.small else ():
        settings[part] |= sizes
    models = find_models([str(write_model(scratch / kind, settings))], None)
    rows = read_rows(scratch / "data", models.first)
    options = SearchOptions(args.beam, args.beam, 0.3, maxlenratio=RATIO)
    gpu = args.device != "cpu"
    engine = Engine(models, options, Computing(args.batch_frames, args.device))
    here, there = decoded(Engine(models, options, Computing(args.batch_frames)), rows), decoded(engine, rows)
    found = {"N-best": agree(here, there), "single": agree(decoded(engine, rows, one_by_one=True), there)}
    speeds = {"speed": there}
    if gpu:
        replay = Computing(args.batch_frames, args.device, graphs=True)
        speeds["speed, --graphs"] = decoded(Engine(models, options, replay), rows)
        found["--graphs"] = agree(speeds["speed, --graphs"], there)
    made = [(name, shared.cell(), shared.same >= SAME) for name, shared in found.items()]
    made += [(name, one.speed(rows), True) for name, one in {"speed, CPU": here, **speeds}.items()]
    for name, loss, gradient in losses(models, args.device):
        cell = f"loss {loss:.1g}, gradient {gradient:.1g} of it"
        made.append((f"loss of {name}", cell, loss <= LOSS and gradient <= GRADIENT))
    cells = [
        {"network": kind, "what": name, "found": cell, "": "as it should be" if good else "DIFFERS"}
        for name, cell, good in made
    ]
    return cells, all(good for *_, good in made)


def main(words: Sequence[str] | None = None) -> int:
    """Check, print the table, and return whether something differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="what is compared with the CPU (default %(default)s)")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS), help="networks (default all)")
    parser.add_argument("--utterances", type=int, default=40, help="to decode (default %(default)s)")
    parser.add_argument("--beam", type=int, default=10, help="hypotheses kept a step (default %(default)s)")
    parser.add_argument("--batch_frames", type=int, default=400_000, help="of kdasr nbest (default %(default)s)")
    parser.add_argument("--small", action="store_true", help="networks of a few units")
    parser.add_argument("--out", type=Path, help="write the table there, too (Markdown)")
    args = parser.parse_args(words)
    if args.device != "cpu" and not torch.cuda.is_available():
        sys.exit(NO_GPU)
    args.device = "cuda:0" if args.device == "cuda" else args.device
    prepare()
    logging.disable(logging.WARNING)
    cells: list[dict[str, str]] = []
    good = True
    with tempfile.TemporaryDirectory() as name:
        write_data(Path(name) / "data", lengths(args.utterances))
        for kind in args.kind:
            more, right = checked(kind, args, Path(name))
            cells, good = cells + more, good and right
    sizes = "small networks" if args.small else "WSJ's sizes"
    note = f"{args.utterances} utterances, beam {args.beam}, {sizes}, on {args.device}; {conditions(args.device)}"
    text = f"{table(cells)}\n\n{note}\n"
    print(text, end="")
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
