"""The best hypothesis of each utterance of a set, in ESPnet's output layout.

Writes text, token, token_int and score (a plain number a line), and decode.json with the options, the
model's hash, the probability that the decoder gives to what was found, and seconds: of audio, of CPU (summed over
processes), and of wall clock (while any process was at work; loading the model is not in either). What was
decoded before an interruption stays in `shards/`, and is not decoded again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import write_json, write_table
from kdasr.models import output_tokens
from kdasr.nbest import archive, run_report
from kdasr.nbest.write import Decoding, make_archive


def run(given: Decoding) -> None:
    """Decode what is missing, and write the result once all is there."""
    out, shards = Path(given.out), Path(given.out) / "shards"
    try:
        complete = make_archive(given, shards, quiet=True)
    except UserError as error:
        if (out / "decode.json").is_file() and "made with other settings" in str(error):
            raise UserError(f"{error} (a result is in {out})") from None
        raise
    if given.processes.job:
        return
    if not complete and (out / "decode.json").is_file():
        print(f"{out}: decoded already; to decode again: rm -r {out}")
        return
    summary = archive.summarise(shards)
    manifest = archive.read_manifest(shards)
    best = write_results(out, shards, output_tokens(given.models[0]))
    report = run_report.read(shards)
    result: dict[str, Any] = {key: summary[key] for key in ("utterances", "audio_seconds")}
    result |= {key: summary[key] for key in ("source_tokens",) if key in summary}
    result |= {key: report[key] for key in ("cpu_seconds", "wall_seconds")}
    result |= {"empty": summary["empty_best"], "stopped": summary["stopped"], "options": manifest["search"]}
    result["mode_probability"] = mode_probability(best.values())
    result["device"] = "cuda" if given.processes.ngpu else "cpu"
    depends_on = ("model", "config", "tokens", "lm", "lm_config", "keys", "replace_unk", "bf16")
    result |= {key: manifest[key] for key in depends_on if key in manifest}
    write_json(out / "decode.json", result)
    audio, cpu = result["audio_seconds"], result["cpu_seconds"]
    amount = f"{audio:.0f} s of audio"
    speed = f", {audio / cpu:.0f} x real time" if cpu else ""
    if "source_tokens" in result:
        amount = f"{result['source_tokens']} source tokens"
        speed = f", {result['source_tokens'] / cpu:,.0f} a CPU second" if cpu else ""
    print(f"{out}: {result['utterances']} utterances, {amount} in {cpu:.1f} CPU s{speed}")


def write_results(out: Path, shards: Path, tokens: list[str]) -> dict[str, dict[str, Any]]:
    """Write text, token, token_int and score of the best hypotheses of an archive, and return these by utterance."""
    best = {record["id"]: record["hyps"][0] for record in archive.read_nbest(shards)}
    write_table(out / "text", {key: hyp["text"] for key, hyp in best.items()})
    write_table(out / "token", {key: " ".join(tokens[i] for i in hyp["tokens"]) for key, hyp in best.items()})
    write_table(out / "token_int", {key: " ".join(map(str, hyp["tokens"])) for key, hyp in best.items()})
    write_table(out / "score", {key: str(hyp["score"]) for key, hyp in best.items()})
    return best


def mode_probability(best: Iterable[Mapping[str, Any]]) -> float | None:
    """The mean probability p(t = y) that the decoder gives to its best hypothesis (Kim and Rush 2016, Table 1).

    A hypothesis that did not end with <eos> counts as 0: its probability is not known.

    Args:
        best: the best hypothesis of each utterance, as an N-best record has it.

    Returns:
        A number from 0 to 1; None without a decoder's scores (a search with CTC alone).
    """
    hyps = list(best)
    if not any("decoder" in hyp["scores"] for hyp in hyps):
        return None
    return sum(math.exp(hyp["scores"]["decoder"]) for hyp in hyps if hyp["ended"] == "eos") / len(hyps)
