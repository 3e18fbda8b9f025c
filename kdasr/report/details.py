"""The CSV beside the table: a row for each model, set and search, with the facts of the model and plain numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from kdasr.report.collect import Scored, System, measure_of
from kdasr.report.pace import AUDIO, TEXT

FACTS = (  # of kdasr.json
    *("role", "recipe", "learned_from", "network", "baseline", "oracle", "soft_targets", "teacher", "seed"),
    *("parameters", "non_zero", "train_seconds", "cpu_seconds", "git"),
)
COUNTS = ("sentences", "words", "sub", "del", "ins")  # of words
BEFORE = ("name", "label", "model", *FACTS, "bytes", "set", "search")
AFTER = ("ppl", "mode_probability", "signature", "marks")
HEAD = (*BEFORE, "wer", "wer_low", "wer_high", *COUNTS, "cer", *AUDIO.columns, *AFTER)
OF_BLEU = ("chrf", "ter", "brevity_penalty")
COUNTS_OF_BLEU = ("sentences", "sys_len", "ref_len")
HEAD_OF_BLEU = (*BEFORE, "bleu", "bleu_low", "bleu_high", *COUNTS_OF_BLEU, *OF_BLEU, *TEXT.columns, *AFTER)


def as_csv(every: Sequence[System]) -> str:
    """The file: a header, and rows in the order of the systems; what is not known is empty."""
    stream = io.StringIO()
    head = HEAD if measure_of(every).of_errors else HEAD_OF_BLEU
    writer = csv.DictWriter(stream, head, lineterminator="\n")
    writer.writeheader()
    for one in every:
        about = {"name": one.name, "label": one.label, "model": one.model, "bytes": one.bytes}
        about |= {key: _plain(one.info.get(key)) for key in FACTS}
        about["marks"] = "; ".join(one.info.get("marks", ()))
        for key in sorted(one.scored, key=lambda key: (key[1], key[0] != "greedy", key[0])):
            measured = _measured(one, one.scored[key])
            writer.writerow(about | {key: value for key, value in measured.items() if key in head})
        if not one.scored:
            writer.writerow(about)
    return stream.getvalue()


def _measured(one: System, scored: Scored) -> dict[str, Any]:
    tag, name = scored.tag, scored.set
    key, score = scored.measure.key, scored.score
    low, high = score.get("interval95") or (None, None)
    counts = score.get("counts") or {}
    speeds = {
        column: _short(None if cost is None else pace.value(cost))
        for pace in (AUDIO, TEXT)
        for column, cost in zip(pace.columns, (pace.cost(one, tag, gpu, name) for gpu in (False, True)), strict=True)
    }
    return {
        "set": name,
        "search": tag,
        key: scored.rate,
        f"{key}_low": low,
        f"{key}_high": high,
        **{key: counts.get(key) for key in (*COUNTS, *COUNTS_OF_BLEU)},
        **{key: score.get(key) for key in OF_BLEU},
        "cer": scored.cer.get("cer"),
        **speeds,
        "ppl": _short(one.ppl.get(name, {}).get("ppl")),
        "mode_probability": scored.decode.get("mode_probability"),
        "signature": score.get("signature"),
    }


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
