"""Train a language model on running text, with or without teachers.

The text is cut into streams that are read side by side; the gradient goes back through pieces of about `steps` words,
whose length varies, and the state is kept from piece to piece. SGD at a constant rate until the validation perplexity
has not improved for `patience` epochs, then averaged SGD (NT-ASGD, Merity et al. 2018, algorithm 1). What is left is
the best model by validation perplexity, which is computed over every token.

A killed run continues from the last checkpoint and ends with the same weights as one that was not killed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kdasr import checkpoints, torch_files
from kdasr.errors import UserError
from kdasr.files import only_writer, read_json, write_json
from kdasr.lm.files import CHECKPOINT, MODEL, RECORD, model_name, named
from kdasr.lm.model import load, load_all, save_config
from kdasr.lm.perplexity import perplexity
from kdasr.lm.piece import OnlineTeachers
from kdasr.lm.settings import LmSettings
from kdasr.lm.soft import StoredTeacher
from kdasr.lm.text import load_vocabulary, read_stream
from kdasr.lm.trainer import Loop
from kdasr.networks.awd import AwdLstm
from kdasr.revision import revision
from kdasr.settings import check_begun


@dataclass(frozen=True)
class TrainOptions:
    """What a language model is trained on, and where it goes."""

    words: str  # directory of the vocabulary, or of tokens
    train: str  # training text, a sentence a line
    valid: str  # text to choose the best epoch by
    out: str  # model directory to write
    teachers: tuple[str, ...] = ()  # directories of language models to learn from, which read along
    soft: str | None = None  # directory of what teachers expect in the training text
    init: str | None = None  # directory of the model whose weights to begin with
    role: str = "teacher"  # or student
    label: str | None = None  # what reports call it; None: the name of its directory
    seed: int = 1  # of weights, dropout and lengths of pieces
    save_minutes: float = 10.0  # between checkpoints within an epoch
    ngpu: int = 0  # 0: CPU; 1: a GPU


def train(options: TrainOptions, settings: LmSettings) -> None:
    """Train, unless it is done.

    Raises:
        UserError: options that cannot be, a file or model that is missing, a directory begun with other settings.
    """
    if options.teachers and options.soft:
        raise UserError("--teachers, --soft: leave one out; stored targets come from teachers already")
    if options.seed < 0 or options.ngpu not in (0, 1) or options.save_minutes < 0:
        raise UserError("--seed, --save_minutes: expected 0 or more; --ngpu: 0 or 1")
    out = Path(options.out)
    made = {
        "settings": dataclasses.asdict(settings),
        "seed": options.seed,
        **{name: named(getattr(options, name), "give a text, a sentence a line") for name in ("train", "valid")},
        "words": named(Path(options.words) / "tokens.txt", "make the vocabulary: kdasr lm words"),
        "teachers": [model_name(one) for one in options.teachers],
        "soft": named(Path(options.soft) / "soft.json", "store targets there: kdasr lm soft") if options.soft else None,
        "init": model_name(options.init) if options.init else None,
    }
    with only_writer(out):
        check_begun(out, made)
        if (out / RECORD).exists():
            ppl = read_json(out / RECORD)["valid_ppl"]
            print(f"{out}: trained already, validation perplexity {ppl:.2f}; to train again: rm -r {out}")
            return
        record = _trained(options, settings, made)
        checkpoints.write_record(out, record)
    print(
        f"{out}: {record['parameters']:,} parameters, {record['epochs']} epochs, validation perplexity "
        f"{record['valid_ppl']:.2f}, {record['cpu_seconds'] / 60:.1f} CPU minutes"
    )


def _trained(options: TrainOptions, settings: LmSettings, made: dict[str, Any]) -> dict[str, Any]:
    """Train to the end, or go on with what is in the directory; what kdasr.json is to say of the model.

    `made` is what it is made from: settings.json, written once all of it has been read.
    """
    out = Path(options.out)
    torch.manual_seed(options.seed)
    device = torch.device("cuda:0" if options.ngpu else "cpu")
    vocabulary = load_vocabulary(options.words)
    text, valid = (read_stream(path, vocabulary) for path in (options.train, options.valid))
    if len(text) < 2 * settings.streams:
        raise UserError(f"{options.train}: has {len(text)} tokens, too few for {settings.streams} streams; set fewer")
    model = AwdLstm(len(vocabulary), **settings.network).to(device)
    if options.init:
        first, _ = load(options.init)
        try:
            model.load_state_dict(first.state_dict())
        except RuntimeError:
            raise UserError(f"--init {options.init}: its network or vocabulary is another one than --conf's") from None
    teacher = teacher_of(options, vocabulary.list, device)
    write_json(out / "settings.json", made)
    save_config(out, options.words, options.seed, settings, vocabulary)
    loop = Loop(model, settings, text.ids, teacher, out, options.save_minutes)
    with open(out / "log", "a", encoding="utf-8") as log:
        loop.run(valid.ids, log)
    checkpoints.check_noted(out / MODEL)
    best = torch_files.load_weights(out / MODEL, device)
    model.load_state_dict({name.removeprefix("lm."): value for name, value in best.items()})
    exact = perplexity([model.eval()], valid.ids, 1, progress=False)
    (out / CHECKPOINT).unlink()
    return {
        "role": options.role,
        "label": options.label or out.name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(vocabulary),
        "objective": settings.objective if teacher is not None else "ce",
        "finetuned": options.init is not None,
        "teachers": [Path(one).name for one in options.teachers] or options.soft,
        "seed": options.seed,
        "epochs": loop.epoch,
        "valid_ppl": exact.ppl,
        "train_tokens": len(text),
        "train_unknown": text.unknown,
        "cpu_seconds": round(loop.seconds, 1),
        "git": revision(),
    }


def teacher_of(options: TrainOptions, words: list[str], device: torch.device) -> OnlineTeachers | StoredTeacher | None:
    """What the student learns from; None for nothing but the text."""
    if options.soft:
        return StoredTeacher(options.soft, options.train, words, device)
    if not options.teachers:
        return None
    models, listed = load_all(options.teachers, device, "--teachers")
    if listed != words:
        raise UserError(
            f"--teachers {options.teachers[0]}: has another vocabulary than {options.words}; train with its own"
        )
    return OnlineTeachers(models)
