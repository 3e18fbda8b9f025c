"""What a card says of speed and error rates, or BLEU: measured by the runtime itself, on a set that is given."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.export.settings import Exporting
from kdasr.files import read_table, write_table
from kdasr.models import Models, find_model, translates
from kdasr.runtime.data_dir import of_data
from kdasr.runtime.recognizer import Recognizer
from kdasr.runtime.translate import of_data as sentences_of
from kdasr.runtime.translator import Translator
from kdasr.score import bleu
from kdasr.score.rules import Rules, read_symbols
from kdasr.score.score import score
from kdasr.search.engine import Engine
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import read_rows

BATCH_FRAMES = 40000  # as kdasr decode's


def measured(
    given: Exporting, bundle: Path, precision: str, reference: dict[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What a bundle's network does on the set: figures for the card, and the texts.

    Args:
        given: with the set.
        bundle: a directory.
        precision: which of its networks.
        reference: the checkpoint's texts; figures say of how many utterances the text is another.
    """
    run = translated if translates(given.model) else transcribed
    texts, amount, spent = run(bundle, precision, str(given.data))
    other = sum(texts[name] != text for name, text in reference.items())
    return figures(given, texts, amount, spent) | {"other_than_checkpoint": other}, texts


def transcribed(bundle: Path, precision: str, data: str) -> tuple[dict[str, str], float, float]:
    """The texts of a set's utterances, its seconds of audio, and those that a CPU took."""
    recognizer = Recognizer(bundle, precision=precision)
    texts: dict[str, str] = {}
    seconds = 0.0
    start = time.process_time()
    for item in of_data(recognizer, data):
        transcript = item.hear()
        texts[item.name] = transcript.text
        seconds += transcript.seconds
    return texts, seconds, time.process_time() - start


def translated(bundle: Path, precision: str, data: str) -> tuple[dict[str, str], float, float]:
    """The translations of a set's sentences, how many there are, and the seconds that a CPU took."""
    translator = Translator(bundle, precision=precision)
    lines = sentences_of(data)
    start = time.process_time()
    texts = {line.place: translator.translate(line.text).text for line in lines}
    return texts, len(texts), time.process_time() - start


def checkpoint(given: Exporting, search: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The same of the checkpoint, decoded as kdasr decode does."""
    options = replace(SearchOptions(**search), nbest=1)
    source = find_model(given.model, given.model_file)
    engine = Engine(Models((source,)), options, Computing(BATCH_FRAMES))
    rows = read_rows(str(given.data), source)
    start = time.process_time()
    records = list(engine.decode(rows))
    spent = time.process_time() - start
    seconds = sum(engine.seconds(row, record["frames"]) for row, record in zip(rows, records, strict=True))
    texts = {record["id"]: record["hyps"][0]["text"] for record in records}
    return figures(given, texts, len(texts) if source.reads else seconds, spent), texts


def figures(given: Exporting, texts: dict[str, str], amount: float, spent: float) -> dict[str, Any]:
    """What a card says of texts: BLEU or word error rate, its interval and signature, and CPU seconds.

    Args:
        given: with the set.
        texts: of its utterances.
        amount: seconds of audio, or sentences.
        spent: seconds of a CPU.
    """
    reference = Path(str(given.data)) / "text"
    if not reference.is_file():
        raise UserError(f"{reference}: no such file; error rates are measured against it: name a set with references")
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        hyp, speakers, out = (Path(scratch) / name for name in ("hyp", "utt2spk", "score"))
        write_table(hyp, texts)
        if translates(given.model):
            speed, measure, result = "seconds", "bleu", bleu.score(reference, hyp, None, out)
        else:
            symbols = read_symbols(given.nlsyms) if given.nlsyms else frozenset()
            rules = Rules(nlsyms=symbols, wsj_filter=given.wsj_filter)
            write_table(speakers, {name: name for name in read_table(reference, empty=True)})
            speed, measure, result = "rtf", "wer", score(reference, hyp, speakers, out, rules)
    told = {measure: round(result[measure], 2), "interval95": result["interval95"], "signature": result["signature"]}
    return told | {speed: round(spent / amount, 5)}
