"""Stage 11 of the main recipe: a student as a bundle, one file that runs without torch (kdasr.export)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kdasr.errors import UserError
from kdasr.recipe.plan import Plan
from kdasr.recipe.step import Command, Step
from kdasr.recipe.student import StudentRecipe
from kdasr.recipe.tree import has_text

# options of kdasr decode that a bundle's search keeps, and whether a value follows
KEPT = {"--penalty": True, "--maxlenratio": True, "--minlenratio": True, "--normalize_length": False}
NOBODY = "none"  # value of --exports: no student


def exported(plan: Plan) -> list[StudentRecipe]:
    """The recipes whose students are exported.

    Where none is named: the last one that is neither a baseline nor an oracle, or the last one where all are.

    Raises:
        UserError: a name of --exports that is not among --students.
    """
    names = plan.options.exports
    if names == (NOBODY,):
        return []
    known = {one.name: one for one in plan.students}
    for name in names:
        if name not in known:
            raise UserError(
                f"--exports {name}: is not among --students {' '.join(known)}; add it there, or leave it out"
            )
    if names:
        return [known[name] for name in dict.fromkeys(names)]
    taught = [one for one in plan.students if not (one.baseline or one.oracle)]
    return (taught or list(plan.students))[-1:]


def export(plan: Plan) -> Iterator[Step]:
    """Stage 11: a bundle of each student of the first configuration and seed, measured on the first test set."""
    given = plan.options
    data = f"{plan.layout.feats}/{given.test_sets[0]}"
    audio = f"{given.datadir}/{given.test_sets[0]}"  # the corpus may be gone
    example = ("--example", audio) if has_text(f"{audio}/wav.scp") else ()
    search = searched(given.decode_opts)
    rules = ("--wsj_filter",) if "--wsj_filter" in given.score_opts else ()
    for recipe in exported(plan):
        model = plan.dirs(recipe, plan.configs(recipe)[0])[0]
        out = f"{model}/bundle"
        words = ("kdasr", "export", "--model", model, "--out", out, "--zip", "--beam", str(given.beam))
        words += ("--ctc_weight", plan.ctc_weight, "--data", data, *example, *plan.nlsyms, *rules, *search)
        words += given.export_opts
        yield Step(
            11,
            out,
            (Command(words, f"{model}/bundle.txt", "here"),),
            {"beam": str(given.beam), "ctc_weight": plan.ctc_weight, "export_opts": " ".join(given.export_opts)}
            | {"rules": " ".join(rules)}
            | ({"search": " ".join(search)} if search else {}),
            (model, data, *plan.nlsyms[1:]),
            f"{out}: export, measured on {data}",
            needs=((5, model), (2, data)),
            remade=True,
            makes=(f"{out}.zip", f"{model}/bundle.txt"),  # the latter is shown when the run ends
        )


def searched(decode_opts: Sequence[str]) -> tuple[str, ...]:
    """Those of --decode_opts that say how a bundle searches, too, so that it writes what kdasr decode writes."""
    found: list[str] = []
    for number, word in enumerate(decode_opts):
        if word in KEPT:
            found += decode_opts[number : number + 1 + KEPT[word]]
    return tuple(found)
