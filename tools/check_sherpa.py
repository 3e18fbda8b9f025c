#!/usr/bin/env python3
"""A student in stock sherpa-onnx compared with kdasr: the texts of a whole set, by attention and by CTC, both greedy.

Examples:
  tools/venv/bin/python tools/check_sherpa.py --model exp/student --data dump/fbank/test --audio data/test
  tools/venv/bin/python tools/check_sherpa.py --model exp/student --data dump/fbank/test --audio data/test --int8

`kdasr export --format sherpa-onnx` is run, and its files are loaded by the PyPI wheel of sherpa-onnx, which gets
samples and computes features of its own. kdasr gets the set's features: attention as `kdasr decode --beam 1
--ctc_weight 0`, CTC the best token of each frame. Prints how many texts are equal, those that are not, and the time
of a second of audio on one core. Exits with 1 if any text of a float32 network differs.
"""

# ruff: noqa: E402 (the repository is put on the path before it is imported)
from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np
import torch

from kdasr.data.cuts import Recordings, read_cut
from kdasr.data.utterances import audio_of
from kdasr.errors import forgiving_output
from kdasr.export.settings import Exporting
from kdasr.export.sherpa import CTC, RATE, TOKENS, export
from kdasr.models import Models, find_model
from kdasr.search.engine import Engine
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import read_rows

BATCH_FRAMES = 40000


def main() -> int:
    """Compare, print, and return whether all texts are equal."""
    forgiving_output()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path, help="directory of a trained ESPnet2 model")
    parser.add_argument("--model_file", help="checkpoint in --model (default valid.acc.ave.pth)")
    parser.add_argument("--data", required=True, help="data directory with features")
    parser.add_argument("--audio", type=Path, help="data directory with wav.scp (default --data)")
    parser.add_argument("--int8", action="store_true", help="compare the int8 files, too")
    args = parser.parse_args()
    right = kdasr_texts(args.model, args.model_file, args.data)
    samples = read_samples(args.audio or Path(args.data), set(next(iter(right.values()))))
    seconds = sum(map(len, samples.values())) / RATE
    worst = 0
    with tempfile.TemporaryDirectory() as scratch:
        given = Exporting(args.model, Path(scratch) / "m", format="sherpa-onnx", model_file=args.model_file)
        export(given if not args.int8 else Exporting(**vars(given) | {"int8": True}))
        for precision, slot in itertools.product(["fp32", *["int8"] * args.int8], right):
            if not (given.out / TOKENS[slot]).is_file():
                continue
            start = time.process_time()
            hear = recognizer(given.out, slot, precision)
            found = {name: hear(one) for name, one in samples.items()}
            spent = time.process_time() - start
            other = [name for name, text in found.items() if text != right[slot][name]]
            print(f"{slot}, {precision}: {len(found) - len(other)} of {len(found)} texts equal; "
                  f"{spent / seconds:.4f} s a second of audio")  # fmt: skip
            for name in other if precision == "fp32" else ():
                print(f"  {name} kdasr:       {right[slot][name]}\n  {name} sherpa-onnx: {found[name]}")
            worst += len(other) * (precision == "fp32")
    return int(worst > 0)


def kdasr_texts(model: Path, model_file: str | None, data: str) -> dict[str, dict[str, str]]:
    """Slot -> utterance -> text, without blanks at its ends; none of a slot that the model has no network for."""
    source = find_model(model, model_file)
    engine = Engine(Models((source,)), SearchOptions(beam=1, nbest=1, ctc_weight=0.0), Computing(BATCH_FRAMES))
    rows = read_rows(data, source)
    texts: dict[str, dict[str, str]] = {}
    if engine.model.decoder is not None:
        texts["attention"] = {one["id"]: one["hyps"][0]["text"].strip() for one in engine.decode(rows)}
    if engine.model.ctc is not None:
        texts["ctc"] = {row.name: best_tokens(engine, engine.read(row)).strip() for row in rows}
    return texts


@torch.no_grad()
def best_tokens(engine: Engine, x: np.ndarray) -> str:
    """The text of CTC's best token in each frame of features (T, F): repetitions and blanks left out."""
    hs = engine.encoders[0].encode([torch.from_numpy(x)])[0]  # (S, E)
    if hs is None:
        return ""
    ids = [number for number, _ in itertools.groupby(engine.model.ctc.log_softmax(hs[None])[0].argmax(1).tolist())]
    return engine.spell([number for number in ids if number != engine.model.blank_id])


def read_samples(directory: Path, names: set[str]) -> dict[str, np.ndarray]:
    """Utterance -> samples, float32 in [-1, 1], exactly int16 / 32768."""
    recordings = Recordings()
    rows = {name: row for name, row in audio_of(directory).items() if name in names}
    return {name: read_cut(row, recordings, RATE, "").astype(np.float32) / 32768 for name, row in rows.items()}


def recognizer(directory: Path, slot: str, precision: str) -> Callable[[np.ndarray], str]:
    """Samples -> text, by sherpa-onnx."""
    import sherpa_onnx

    suffix = ".int8.onnx" if precision == "int8" else ".onnx"
    tokens = str(directory / TOKENS[slot])
    if slot == "ctc":
        made = sherpa_onnx.OfflineRecognizer.from_fire_red_asr_ctc(
            model=str((directory / CTC).with_suffix(suffix)), tokens=tokens
        )
    else:
        made = sherpa_onnx.OfflineRecognizer.from_fire_red_asr(
            encoder=str(directory / f"encoder{suffix}"), decoder=str(directory / f"decoder{suffix}"), tokens=tokens
        )

    def hear(samples: np.ndarray) -> str:
        stream = made.create_stream()
        stream.set_option("max_token_per_second", "100")
        stream.accept_waveform(RATE, samples)
        made.decode_stream(stream)
        return stream.result.text.strip()

    return hear


if __name__ == "__main__":
    sys.exit(main())
