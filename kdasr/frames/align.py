"""`kdasr frames align`: where in the audio each token of a transcript is, by a CTC model (kdasr.frames.ctc_align).

Writes `alignment`, a line `UTT FRAME:TOKEN FRAME:TOKEN ...` for each utterance, where FRAME (10 ms, from 0) is the one
in the middle of the token's span: encoded frame s of S stands for the input frames from s T/S to (s + 1) T/S. Then
align.json, by what model and what it cost.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import Any

from kdasr.checkpoints import checksums, compare
from kdasr.errors import UserError
from kdasr.files import only_writer, read_json, read_table, write_json, write_table
from kdasr.shards import digest

EXAMPLES = """examples:
  kdasr frames align --model exp/teacher --data dump/fbank/train --out exp/frames/ali/train
"""
ALIGNMENT, RECORD = "alignment", "align.json"

Spikes = list[tuple[int, str]]  # (input frame, token), in order


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr frames align`."""
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="directory of a trained ESPnet2 model with a CTC layer")
    add("--model_file", metavar="NAME", help="checkpoint in it (default valid.acc.ave.pth)")
    add("--data", required=True, metavar="DIR", help="the model's own features and text (kdasr feats)")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add("--batch_frames", type=int, default=40000, help="padded input frames (10 ms) in a batch (default 40000)")


def run(args: argparse.Namespace) -> None:
    """Align, unless it is done."""
    from kdasr.models import find_models, read_config

    if args.batch_frames < 1:
        raise UserError(f"--batch_frames {args.batch_frames}: expected 1 or more")
    data, out = Path(args.data), Path(args.out)
    if not (data / "text").is_file():
        raise UserError(f"{data}: has no text; name a transcribed set")
    models = find_models([args.model], args.model_file)
    if (read_config(args.model).get("model_conf") or {}).get("ctc_weight") == 0.0:
        raise UserError(f"{args.model}: was trained without CTC, which alignments are made with; name another model")
    model, config, listed = models.first.hashes
    inputs = data / ("wav.scp" if models.first.sample_rate else "feats.scp")
    settings = {"model": model, "config": config, "token_list": listed, "text": digest(data / "text")}
    settings["inputs"] = digest(inputs) if inputs.is_file() else None
    with only_writer(out):
        if (out / RECORD).is_file():
            check_made(out, read_json(out / RECORD), settings)
            print(f"{out}: aligned already; to align again: rm -r {out}")
            return
        began = time.process_time()
        aligned, skipped, frames = align(args, models)
        if not aligned:
            raise UserError(f"{data}: every utterance is too short for its text, as {skipped[0]}; name another set")
        write_table(out / ALIGNMENT, {name: written(spikes) for name, spikes in aligned.items()})
        record = {
            "utterances": len(aligned),
            "skipped": skipped,
            "frames": frames,
            "sha256": checksums(out, [ALIGNMENT]),
        }
        write_json(out / RECORD, {**record, "cpu_seconds": round(time.process_time() - began, 1), **settings})
    if skipped:
        print(f"{out}: left out, too short for their text: {', '.join(skipped)}")
    tokens = sum(map(len, aligned.values()))
    print(f"{out}: {len(aligned)} utterances, {tokens:,} tokens, {frames:,} frames")


def check_made(out: Path, there: dict[str, Any], settings: dict[str, Any]) -> None:
    """UserError if a finished directory was made from something else; the first that differs is named."""
    differing = next((key for key, value in settings.items() if there.get(key) != value), None)
    if differing:
        raise UserError(f"{out}: was made with another {differing}; remove the directory, or name another")


def align(args: argparse.Namespace, models: Any) -> tuple[dict[str, Spikes], list[str], int]:
    """Spikes by utterance, the names of utterances that are too short, sorted, and the input frames of the others."""
    import torch
    from tqdm import tqdm

    from kdasr.data.tokens import load_tokens, of_model
    from kdasr.frames.ctc_align import best_path
    from kdasr.search.engine import Engine, buckets, read_rows
    from kdasr.search.options import SearchOptions

    rows = read_rows(args.data, models.first)
    text = read_table(Path(args.data) / "text", empty=True)
    without = next((row.name for row in rows if row.name not in text), None)
    if without is not None:
        raise UserError(f"{args.data}/text: {without} is missing; mend the directory (utils/fix_data_dir.py)")
    own = Path(args.model) / "tokens"
    tokens = load_tokens(own) if own.is_dir() else of_model(Path(args.model))
    engine = Engine(models, SearchOptions(beam=1, nbest=1, ctc_weight=1.0), args.batch_frames)
    names = [row.name for row in rows]
    lengths = [engine.frames(engine.read(row)) for row in rows]
    aligned: dict[str, Spikes] = {}
    with tqdm(total=sum(lengths), unit="frame", unit_scale=True, desc=Path(args.data).name, disable=None) as progress:
        for bucket in buckets(lengths):
            slots = max(1, args.batch_frames // max(1, lengths[bucket[0]]))
            for first in range(0, len(bucket), slots):
                chunk = {number: engine.read(rows[number]) for number in bucket[first : first + slots]}
                for one in engine.encoded(chunk, slots, names):
                    with torch.no_grad():
                        logp = engine.model.ctc.log_softmax(one.hs[0][None])[0].double().numpy()  # (S, V)
                    ids = tokens.encode(text[names[one.number]])
                    path = best_path(logp, ids, engine.model.blank_id)  # (L, 2)
                    if path is not None:
                        places = (path.sum(1) + 1) * lengths[one.number] // (2 * len(logp))  # (L,) input frames
                        spelt = [tokens.list[number] for number in ids]
                        aligned[names[one.number]] = list(zip(places.tolist(), spelt, strict=True))
                progress.update(sum(lengths[number] for number in chunk))
    frames = sum(length for name, length in zip(names, lengths, strict=True) if name in aligned)
    return aligned, sorted(set(names) - set(aligned), key=str.encode), frames


def written(spikes: Spikes) -> str:
    """Spikes as a line of `alignment` has them."""
    return " ".join(f"{frame}:{token}" for frame, token in spikes)


def read_alignment(directory: str | Path) -> tuple[dict[str, Spikes], list[str]]:
    """The spikes of each utterance, sorted by name as LC_ALL=C does; and the utterances that are too short for theirs.

    Raises:
        UserError: there is none, it is empty, or a line is not of its form (the utterance is named).
    """
    path = Path(directory) / ALIGNMENT
    for file in (path, Path(directory) / RECORD):
        if not file.is_file():
            raise UserError(f"{file}: no such file; make it first: kdasr frames align")
    found: dict[str, Spikes] = {}
    for name, line in sorted(read_table(path, empty=True).items(), key=lambda row: row[0].encode()):
        spikes = []
        for word in line.split(" ") if line else []:
            frame, _, token = word.partition(":")
            if not token or not re.fullmatch("[0-9]{1,9}", frame) or (spikes and int(frame) < spikes[-1][0]):
                raise UserError(f"{path}: {name} has {word!r}, expected FRAME:TOKEN in order; make it again")
            spikes.append((int(frame), token))
        found[name] = spikes
    if not found:
        raise UserError(f"{path}: is empty; make it again: kdasr frames align")
    record = read_json(Path(directory) / RECORD)
    compare(directory, record.get("sha256"), "make it again: kdasr frames align")
    skipped = record.get("skipped")
    if not isinstance(skipped, list) or not all(isinstance(name, str) for name in skipped):
        raise UserError(f"{Path(directory) / RECORD}: is no record of an alignment; make it again: kdasr frames align")
    return found, skipped
