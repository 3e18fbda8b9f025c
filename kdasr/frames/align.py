"""Where in the audio each token of a transcript is, by a CTC model (kdasr.frames.ctc_align).

Writes `alignment`, a line `UTT FRAME:TOKEN FRAME:TOKEN ...` for each utterance, where FRAME (10 ms, from 0) is the one
in the middle of the token's span: encoded frame s of S stands for the input frames from s T/S to (s + 1) T/S. Then
align.json, by what model and what it cost.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from tqdm import tqdm

from kdasr.checkpoints import checksums
from kdasr.data.tokens import load_tokens, of_model
from kdasr.data.utterances import AS_IT_IS, SPEEDS, Reading
from kdasr.errors import UserError
from kdasr.files import only_writer, read_json, read_table, write_json, write_table
from kdasr.frames.alignment import ALIGNMENT, RECORD, Spikes, written
from kdasr.frames.ctc_align import best_path
from kdasr.models import Models, find_models, only_recognisers, read_config
from kdasr.s2t import is_s2t
from kdasr.search.engine import Engine, buckets
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import read_rows
from kdasr.settings import check_made
from kdasr.shards import digest


def align_set(
    directory: str,
    data: str | Path,
    out: str | Path,
    model_file: str | None = None,
    batch_frames: int = 40000,
    reading: Reading = AS_IT_IS,
) -> None:
    """Align, unless it is done.

    Args:
        directory: of a trained ESPnet2 model with a CTC layer.
        data: the model's own features, or audio, and text.
        out: directory to write.
        model_file: checkpoint in the model's directory; None: the usual one.
        batch_frames: padded input frames (10 ms) in a batch.
        reading: how audio is read.

    Raises:
        UserError: files that are missing or do not belong together, or `out` holds another alignment.
    """
    if batch_frames < 1:
        raise UserError(f"--batch_frames {batch_frames}: expected 1 or more")
    data, out = Path(data), Path(out)
    if not (data / "text").is_file():
        raise UserError(f"{data}: has no text; name a transcribed set")
    only_recognisers(directory, "kdasr frames align")
    conf = read_config(directory)
    if is_s2t(conf):
        raise UserError(f"{directory}: is an S2T model, which kdasr makes no alignments with; name an ASR model")
    models = find_models([directory], model_file)
    if (conf.get("model_conf") or {}).get("ctc_weight") == 0.0:
        raise UserError(f"{directory}: was trained without CTC, which alignments are made with; name another model")
    model, config, listed = models.first.hashes
    inputs = data / ("wav.scp" if models.first.sample_rate else "feats.scp")
    settings = {"model": model, "config": config, "token_list": listed, "text": digest(data / "text")}
    settings["inputs"] = digest(inputs) if inputs.is_file() else None
    if models.first.sample_rate:
        more = [data / name for name in ("segments", SPEEDS)]
        settings |= {path.name: digest(path) for path in more if path.is_file()} | reading.changed()
    with only_writer(out):
        if (out / RECORD).is_file():
            check_made(out, read_json(out / RECORD), settings)
            print(f"{out}: aligned already; to align again: rm -r {out}")
            return
        began = time.process_time()
        aligned, skipped, frames = align(directory, data, models, batch_frames, reading)
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


def align(
    directory: str, data: Path, models: Models, batch_frames: int, reading: Reading = AS_IT_IS
) -> tuple[dict[str, Spikes], list[str], int]:
    """Spikes by utterance, the names of utterances that are too short, sorted, and the input frames of the others."""
    rows = read_rows(data, models.first, reading)
    text = read_table(data / "text", empty=True)
    without = next((row.name for row in rows if row.name not in text), None)
    if without is not None:
        raise UserError(f"{data}/text: {without} is missing; correct the directory (utils/fix_data_dir.py)")
    own = Path(directory) / "tokens"
    tokens = load_tokens(own) if own.is_dir() else of_model(Path(directory))
    engine = Engine(models, SearchOptions(beam=1, nbest=1, ctc_weight=1.0), Computing(batch_frames))
    names = [row.name for row in rows]
    lengths = [engine.frames(engine.read(row)) for row in rows]
    aligned: dict[str, Spikes] = {}
    with tqdm(total=sum(lengths), unit="frame", unit_scale=True, desc=data.name, disable=None) as progress:
        for bucket in buckets(lengths):
            slots = max(1, batch_frames // max(1, lengths[bucket[0]]))
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
