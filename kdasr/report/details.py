"""The CSV beside the table: a row for each model, set and search, with the facts of the model and plain numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from kdasr.report.collect import Scored, System, real_time_factor

FACTS = (  # of kdasr.json
    *("role", "recipe", "learned_from", "network", "baseline", "oracle", "soft_targets", "teacher", "seed"),
    *("parameters", "non_zero", "train_seconds", "cpu_seconds", "git"),
)
COUNTS = ("sentences", "words", "sub", "del", "ins")  # of words
HEAD = (
    *("name", "label", "model", *FACTS, "bytes", "set", "search", "wer", "wer_low", "wer_high", *COUNTS),
    *("cer", "cpu_rtf", "gpu_rtf", "ppl", "mode_probability", "signature", "marks"),
)


def as_csv(every: Sequence[System]) -> str:
    """The file: a header, and rows in the order of the systems; what is not known is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, HEAD, lineterminator="\n")
    writer.writeheader()
    for one in every:
        about = {"name": one.name, "label": one.label, "model": one.model, "bytes": one.bytes}
        about |= {key: _plain(one.info.get(key)) for key in FACTS}
        about["marks"] = "; ".join(one.info.get("marks", ()))
        for key in sorted(one.scored, key=lambda key: (key[1], key[0] != "greedy", key[0])):
            writer.writerow(about | _measured(one, one.scored[key]))
        if not one.scored:
            writer.writerow(about)
    return stream.getvalue()


def _measured(one: System, scored: Scored) -> dict[str, Any]:
    tag, name = scored.tag, scored.set
    low, high = scored.wer.get("interval95") or (None, None)
    counts = scored.wer.get("counts") or {}
    return {
        "set": name,
        "search": tag,
        "wer": scored.wer.get("wer"),
        "wer_low": low,
        "wer_high": high,
        **{key: counts.get(key) for key in COUNTS},
        "cer": scored.cer.get("cer"),
        "cpu_rtf": _short(real_time_factor(one, tag, False, name)),
        "gpu_rtf": _short(real_time_factor(one, tag, True, name)),
        "ppl": _short(one.ppl.get(name, {}).get("ppl")),
        "mode_probability": scored.decode.get("mode_probability"),
        "signature": scored.wer.get("signature"),
    }


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
