"""Scoring translations by sacrebleu: from two texts to BLEU, chrF and TER, and to what each sentence adds to them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest

from kdasr import shape
from kdasr.errors import UserError
from kdasr.files import atomic_write, only_writer, read_lines, write_json
from kdasr.score import trn
from kdasr.score.bleu_samples import SAMPLES, SEED, interval, statistics
from kdasr.score.measures import BLEU as MEASURE
from kdasr.shape import COUNT, TEXT, Must

SENTENCES = "per_sentence.jsonl"
FOUR = (COUNT, COUNT, COUNT, COUNT)
ROW = {
    **dict.fromkeys(("id", "ref", "hyp"), Must(TEXT)),
    "src": TEXT,
    **dict.fromkeys(("sys_len", "ref_len"), Must(COUNT)),
    **dict.fromkeys(("correct", "total"), Must(FOUR)),
}
REMEDY = "score the set again (kdasr score --type bleu)"


@dataclass(frozen=True)
class Texts:
    """A translated set: lists in the order of the references, an empty translation where there is none."""

    names: list[str]
    ref: list[str]
    hyp: list[str]
    src: list[str] | None  # what was translated, where it was given
    missing: list[str]  # names that the hypotheses lack


def score(
    ref: str | Path, hyp: str | Path, src: str | Path | None, directory: str | Path, command: str = ""
) -> dict[str, Any]:
    """Score one set and write `directory`: per_sentence.jsonl, result.txt and, last, score.json.

    Tokens are sacrebleu's: 13a, cased, exponential smoothing; one reference. chrF and TER are its defaults.

    Args:
        ref: references, a Kaldi text; a sentence may be without words.
        hyp: translations of the same sentences, a Kaldi text; one that is absent counts as empty.
        src: source sentences, a Kaldi text, for who reads the result; None to leave them out.
        directory: for the results; files of an earlier score are replaced, others are left alone.
        command: recorded in score.json.

    Returns:
        What score.json holds.

    Raises:
        UserError: malformed inputs, translations of unknown sentences, or references without a word.
    """
    texts = read(ref, hyp, src)
    bleu, chrf, ter = BLEU(), CHRF(), TER()
    whole = [metric.corpus_score(texts.hyp, [texts.ref]) for metric in (bleu, chrf, ter)]
    if whole[0].ref_len == 0:
        raise UserError(f"{ref}: no sentence has a word, and there is no BLEU of none; name other references")
    rows = sentences(texts)
    low, high = interval([statistics(row) for row in rows])
    result = {
        "type": MEASURE.key,
        "counts": {
            "sentences": len(texts.names),
            "missing": len(texts.missing),
            "empty": sum(not text for text in texts.hyp),
            "sys_len": whole[0].sys_len,
            "ref_len": whole[0].ref_len,
        },
        **{key: round(one.score, 4) for key, one in zip(("bleu", "chrf", "ter"), whole, strict=True)},
        "interval95": [round(low, 4), round(high, 4)],
        "bootstrap": {"samples": SAMPLES, "seed": SEED},
        "brevity_penalty": round(whole[0].bp, 4),
        "precisions": [round(one, 4) for one in whole[0].precisions],
        "signature": str(bleu.get_signature()),
        "signatures": {"chrf": str(chrf.get_signature()), "ter": str(ter.get_signature())},
        "command": command,
    }
    out = Path(directory)
    with only_writer(out):
        for name in ("score.json", "against.json"):  # a comparison is that of the score that is replaced
            (out / name).unlink(missing_ok=True)
        with atomic_write(out / SENTENCES) as stream:
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        with atomic_write(out / "result.txt") as stream:
            stream.write(told(result))
        write_json(out / "score.json", result)
    return result


def read(ref: str | Path, hyp: str | Path, src: str | Path | None) -> Texts:
    """The set, checked: each translation and each source is that of a reference."""
    for path in (ref, hyp, src):
        if path is not None and Path(path).suffix in (".trn", ".stm", ".ctm"):
            raise UserError(f"{path}: translations are scored from Kaldi texts; give lines 'SENTENCE WORD...'")
    tables = {str(path): trn.read_text(path) for path in (ref, hyp, src) if path is not None}
    wanted = tables[str(ref)]
    for path, table in tables.items():
        unknown = [name for name in table if name not in wanted]
        if unknown and path != str(src):  # sources of more sentences do no harm
            trn.same_utterances(wanted, table, ref, hyp, "sentences")
    names = sorted(wanted, key=str.encode)
    found, sources = tables[str(hyp)], tables.get(str(src))
    if sources is not None and (lacking := next((name for name in names if name not in sources), None)):
        raise UserError(f"{src}: lacks the source of {lacking}; give the sources of the set {ref}")
    return Texts(
        names,
        _joined(wanted, names),
        _joined(found, names),
        None if sources is None else _joined(sources, names),
        [name for name in names if name not in found],
    )


def sentences(texts: Texts) -> list[dict[str, Any]]:
    """A row a sentence: its texts, and the n-gram counts and lengths that corpus BLEU is the sum of."""
    metric = BLEU(effective_order=True)  # of no effect on the counts; sacrebleu warns without it
    rows = []
    for place, name in enumerate(texts.names):
        one = metric.sentence_score(texts.hyp[place], [texts.ref[place]])
        row: dict[str, Any] = {"id": name}
        if texts.src is not None:
            row["src"] = texts.src[place]
        row |= {"ref": texts.ref[place], "hyp": texts.hyp[place], "bleu": round(one.score, 2)}
        rows.append(row | {"correct": one.counts, "total": one.totals, "sys_len": one.sys_len, "ref_len": one.ref_len})
    return rows


def read_rows(path: str | Path) -> dict[str, dict[str, Any]]:
    """The rows of per_sentence.jsonl, by sentence.

    Raises:
        UserError: it is absent, or a line is not what `score` writes; the line is named.
    """
    found = {}
    for number, line in enumerate(read_lines(path), 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        shape.check(row, ROW, f"{path}:{number}", REMEDY)
        found[row["id"]] = row
    return found


def paired_test(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The paired bootstrap of BLEU by sacrebleu, whose baseline is `theirs`.

    Args:
        ours: rows of per_sentence.jsonl.
        theirs: those of the same sentences.
    """
    systems = [(name, [row["hyp"] for row in rows]) for name, rows in (("theirs", theirs), ("ours", ours))]
    metric = {"BLEU": BLEU()}
    signatures, scores = PairedTest(systems, metric, [[row["ref"] for row in ours]], "bs", SAMPLES)()
    theirs_there, ours_there = scores["BLEU"]
    signature = signatures["BLEU"].info
    return {
        "p": ours_there.p_value,
        "samples": signature["bs"],
        "seed": signature["seed"],
        "mean": [round(one.mean, 4) for one in (ours_there, theirs_there)],
        "half_interval95": [round(one.ci, 4) for one in (ours_there, theirs_there)],
        "signature": str(signatures["BLEU"]),
    }


def told(result: Mapping[str, Any]) -> str:
    """A score in words: what `kdasr score` prints, and result.txt."""
    counts, (low, high) = result["counts"], result["interval95"]
    precisions = "/".join(f"{one:.1f}" for one in result["precisions"])
    return (
        f"BLEU {result['bleu']:.2f}, {precisions}, brevity penalty {result['brevity_penalty']:.3f} (ratio "
        f"{counts['sys_len'] / counts['ref_len']:.3f}, {counts['sys_len']} tokens, reference {counts['ref_len']})\n"
        f"95 % interval {low:.2f} to {high:.2f}, bootstrap over sentences ({result['bootstrap']['samples']} samples, "
        f"seed {result['bootstrap']['seed']})\n"
        f"chrF2 {result['chrf']:.2f}\nTER {result['ter']:.2f}\n"
        f"Scored {counts['sentences']} sentences, {counts['missing']} not present in hyp.\n"
        f"BLEU {result['signature']}\nchrF2 {result['signatures']['chrf']}\nTER {result['signatures']['ter']}\n"
    )


def _joined(table: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[str]:
    return [" ".join(table.get(name, ())) for name in names]
