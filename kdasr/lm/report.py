"""`kdasr lm report`: perplexities (and rescoring error rates, where there are some) as the table of Shi et al. 2019."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.report import shape
from kdasr.report.markdown import code
from kdasr.report.provenance import page_arguments, write_page
from kdasr.report.shape import AMOUNT, COUNT, NUMBER, TEXT, WHOLE, Each, Must
from kdasr.report.table import markdown
from kdasr.score.intervals import over_seeds, seeds_apart

EXAMPLES = """examples:
  kdasr lm report --exp exp/lm --out RESULTS.md
"""
NONE = "-"
TUNED = "Lists were ranked by the weighted sum of their scores, with the weights that did best on the validation set:"
LABELS = {"first_pass": "first pass"}  # of directories that say nothing of themselves; those of others are their names
ORDER = ("first pass", "ensemble", "teacher")  # of the rows; students follow, those on labels alone first
MODEL = {"label": TEXT, "parameters": COUNT, "seed": WHOLE}  # shapes of the files read: kdasr.json
PPL = {"ppl": Must(AMOUNT)}
SCORE = {"wer": Must(AMOUNT), "signature": Must(TEXT)}
TUNING = dict.fromkeys(("wer_before", "wer", "wer_oracle"), Must(AMOUNT))
WEIGHTS = {"weights": Must(Each(NUMBER)), "tuned": TUNING}
KINDS = "mean ± standard deviation over seeds"
VERSUS = (
    "Against the student on labels alone (ce): the ratio of mean perplexities, and Welch's 95 % interval of their "
    "difference over seeds; beyond noise if the interval leaves out zero."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr lm report`."""
    page_arguments(parser, "language models, with ppl/TEXT.json in them")


def run(args: argparse.Namespace) -> None:
    """Write the table and print it."""
    groups = read(args.exp)
    results, against, tuned = table(groups), versus(groups), tuning(groups)
    parts = [f"Perplexity over every token, {KINDS}.", markdown(results)]
    if len(against) > 1:
        parts += [markdown(against), VERSUS]
    if len(tuned) > 1:
        parts += [TUNED, markdown(tuned), *(f"WER: {code(one)}" for one in signatures(groups))]
    write_page(args, "RESULTS", parts)
    print(markdown(results))


def read(exp: str | Path) -> dict[str, list[dict[str, Any]]]:
    """What is known of each kind of model, by its label: kdasr.json, and `rates` by column.

    Raises:
        UserError: no such directory, or no model with a perplexity or rescored lists in it.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for directory in sorted({path.parent for kind in ("ppl", "rescore_*") for path in Path(exp).glob(f"*/{kind}")}):
        about = shape.read(directory / "kdasr.json", MODEL) if (directory / "kdasr.json").exists() else {}
        rates = {f"{path.stem} ppl": shape.read(path, PPL)["ppl"] for path in sorted(directory.glob("ppl/*.json"))}
        signed, tuned = [], {}
        for path in sorted(directory.glob("rescore_*/*/score_wer/score.json")):
            name = f"{path.parts[-3]} {path.parts[-4].removeprefix('rescore_')}"  # the set, and whose lists
            score, weights = shape.read(path, SCORE), shape.read(path.parents[1] / "weights.json", WEIGHTS)
            rates[f"{name} WER"] = score["wer"]
            signed.append(score["signature"])
            if weights.get("tuned"):
                tuned[name] = weights
        label = about.get("label") or LABELS.get(directory.name, directory.name)
        groups.setdefault(label, []).append(about | {"rates": rates, "signed": signed, "tuned": tuned})
    if not groups:
        raise UserError(f"{exp}: no language model with perplexities (*/ppl/*.json); run the stages up to ppl first")
    return dict(sorted(groups.items(), key=lambda row: (_place(row[0]), row[0])))


def table(groups: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """A row a kind of model: parameters, share of a teacher's, seeds, and each column's mean over seeds."""
    every = dict.fromkeys(name for members in groups.values() for one in members for name in one["rates"])
    columns = sorted(every, key=lambda name: not name.endswith(" ppl"))  # the others in their order
    teacher = next((members[0].get("parameters") for label, members in groups.items() if label == "teacher"), None)
    rows = [["model", "seeds", "parameters", "of one teacher", *columns]]
    for label, members in groups.items():
        size = members[0].get("parameters")
        if label == "ensemble" and teacher:
            size = teacher * len(groups["teacher"])
        share = f"{100 * size / teacher:.1f} %" if size and teacher else NONE
        cells = [_spread([one["rates"][name] for one in members if name in one["rates"]]) for name in columns]
        rows.append([label, str(len(members)), f"{size:,}" if size else NONE, share, *cells])
    return rows


def versus(groups: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """A row a student and column: its mean over that of the student on labels alone, and whether seeds allow for it."""
    rows = [["model", "column", "ratio to ce", "difference, 95 % interval", "beyond noise"]]
    base = groups.get("student, ce", [])
    for label, members in groups.items():
        if not base or not label.startswith("student") or members is base:
            continue
        for name in members[0]["rates"]:
            sides = [[one["rates"][name] for one in side if name in one["rates"]] for side in (base, members)]
            if not all(sides):
                continue
            apart = seeds_apart(*sides)
            ratio = over_seeds(sides[1]).mean / over_seeds(sides[0]).mean if over_seeds(sides[0]).mean else float("nan")
            between = NONE if apart is None else f"{apart[0]:+.2f} to {apart[1]:+.2f}"
            verdict = "one seed" if apart is None else "yes" if apart[0] > 0 or apart[1] < 0 else "no"
            rows.append([label, name, f"{ratio:.3f}", between, verdict])
    return rows


def tuning(groups: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """A row a model and set that weights were tuned on: the weights, and what they did there."""
    rows = [["model", "seed", "tuned on", "weights", "WER before", "after", "at best (oracle)"]]
    for label, members in groups.items():
        for one in members:
            for name, found in one["tuned"].items():
                weights = " ".join(f"{key} {value:g}" for key, value in found["weights"].items() if value)
                rates = [f"{found['tuned'][key]:.2f}" for key in ("wer_before", "wer", "wer_oracle")]
                rows.append([label, str(one.get("seed", NONE)), name, weights, *rates])
    return rows


def signatures(groups: dict[str, list[dict[str, Any]]]) -> list[str]:
    """How the error rates were scored: one signature, if all were scored alike."""
    return list(dict.fromkeys(sign for members in groups.values() for one in members for sign in one["signed"]))


def _place(label: str) -> int:
    return ORDER.index(label) if label in ORDER else len(ORDER) + (label != "student, ce")


def _spread(values: list[float]) -> str:
    if not values:
        return NONE
    spread = over_seeds(values)
    return f"{spread.mean:.2f}" + ("" if spread.sd is None else f" ± {spread.sd:.2f}")
