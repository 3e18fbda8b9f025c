"""What a card says of speed and error rates: measured by the runtime itself, on a set that is given."""

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
from kdasr.models import Models, find_model
from kdasr.runtime.data_dir import of_data
from kdasr.runtime.recognizer import Recognizer
from kdasr.score.rules import Rules, read_symbols
from kdasr.score.score import score
from kdasr.search.engine import Engine
from kdasr.search.options import SearchOptions
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
    recognizer = Recognizer(bundle, precision=precision)
    texts: dict[str, str] = {}
    seconds = 0.0
    start = time.process_time()
    for item in of_data(recognizer, str(given.data)):
        transcript = item.hear()
        texts[item.name] = transcript.text
        seconds += transcript.seconds
    spent = time.process_time() - start
    figures = rates(given, texts) | {"rtf": round(spent / seconds, 5)}
    return figures | {"other_than_checkpoint": sum(texts[name] != text for name, text in reference.items())}, texts


def checkpoint(given: Exporting, search: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The same of the checkpoint, decoded as kdasr decode does."""
    options = replace(SearchOptions(**search), nbest=1)
    source = find_model(given.model, given.model_file)
    engine = Engine(Models((source,)), options, BATCH_FRAMES)
    rows = read_rows(str(given.data), source)
    start = time.process_time()
    records = list(engine.decode(rows))
    spent = time.process_time() - start
    seconds = sum(engine.seconds(row, record["frames"]) for row, record in zip(rows, records, strict=True))
    texts = {record["id"]: record["hyps"][0]["text"] for record in records}
    return rates(given, texts) | {"rtf": round(spent / seconds, 5)}, texts


def rates(given: Exporting, texts: dict[str, str]) -> dict[str, Any]:
    """Word error rate of texts, its interval and signature."""
    data = Path(str(given.data))
    reference = data / "text"
    if not reference.is_file():
        raise UserError(f"{reference}: no such file; error rates are measured against it: name a set with references")
    rules = Rules(nlsyms=read_symbols(given.nlsyms) if given.nlsyms else frozenset(), wsj_filter=given.wsj_filter)
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        write_table(Path(scratch) / "hyp", texts)
        write_table(Path(scratch) / "utt2spk", {name: name for name in read_table(reference, empty=True)})
        result = score(reference, Path(scratch) / "hyp", Path(scratch) / "utt2spk", Path(scratch) / "score", rules)
    return {"wer": round(result["wer"], 2), "interval95": result["interval95"], "signature": result["signature"]}
