"""Student recipes: what a student learns from and how, one YAML file each (docs/student-recipes.md).

utils/students/NAME.yaml are those of kdasr; a recipe's own are conf/students/NAME.yaml, or a file named by its path.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdasr.asr.settings import LEARNS_FROM, Distillation, read_settings
from kdasr.errors import UserError
from kdasr.files import read_yaml
from kdasr.shrink.settings import BY, Shrinking, number
from kdasr.targets.filters import Limits, check_agree, check_values
from kdasr.targets.select import UNREFERENCED, Selection

OWN = "conf/students"  # of the recipe, seen from its directory
SHARED = Path(__file__).resolve().parents[2] / "utils" / "students"
EXAMPLES = f"{SHARED.parent.name}/{SHARED.name}/*.yaml"
CONFIGS = ("student", "fine_tune", "teacher", "teacher_fine_tune")
TEACHER = "teacher"  # as starts_from: the teacher itself
GREEDY = "greedy"  # as selection's agree: what the same models hear with a beam of 1
# Settings that say what the targets are; with targets_of they are those of the other recipe.
TARGETS = ("learns_from", "taught_by", "beam", "nbest", "archive", "selection", "distillation", "kept", "teachers")
SELECTION = (*Selection._fields, *Limits._fields, "unreferenced", "agree")
FOUND_OUT = ("targets", "teacher", "mask", "teacher_frames", "student_frames")  # by the recipe, or by kdasr train
DISTILLATION = tuple(one.name for one in dataclasses.fields(Distillation) if one.name not in FOUND_OUT)
BESIDE = tuple(
    one for one in DISTILLATION if one.startswith(("inter_", "cr_", "risk_"))
)  # losses that any targets do for
PRUNE = ("sparsity", "scheme", "spare")
SHRINK = ("params", "energy", "like", "by", "utterances")
LIKE = "config"  # as shrink's like: the configuration that the student trains with
RENAMED = {  # recipes that had another name in older versions
    **{"control": "oracle", "extra": "pseudo", "extra_word": "pseudo_word", "extra_soft": "pseudo_soft"},
    **{"extra_soft_tune": "pseudo_soft_fine_tune", "refs_tune": "refs_fine_tune"},
}


@dataclass(frozen=True)
class StudentRecipe:
    """What the file of a student recipe says; the defaults are those of a setting that it leaves out."""

    label: str  # what tables call the student
    # What it learns from:
    #   references      of the transcribed audio
    #   hypotheses      the teacher's, of the transcribed audio
    #   crossfit        the same, by teachers that were not trained on that audio (--folds of them)
    #   pseudo_labels   references of the transcribed audio, the teacher's hypotheses of the untranscribed audio
    #   all_references  of all audio, as if the untranscribed part had been transcribed by hand
    #   all_hypotheses  the teacher's, of all audio; no reference is looked at
    learns_from: str = "references"
    # Another recipe of the teacher's network, whose student (of the first of --seeds) writes the hypotheses, and says
    # the distributions, in place of the teacher: a further generation
    taught_by: str = ""
    baseline: bool = False  # what distilled students are compared with
    oracle: bool = False  # it has seen labels that the others have not
    beam: int = 0  # of the search that wrote the hypotheses; 0: --beam
    nbest: int = 0  # hypotheses of each utterance; 0: --nbest
    archive: str = ""  # of hypotheses that are there already (kdasr nbest import), in place of the teacher's
    teachers: int = 1  # how many teachers search together, and are averaged: the recipe's, and those of the next seeds
    selection: Mapping[str, Any] = field(default_factory=dict)  # options of kdasr targets, as {select: topk, k: 5}
    distillation: Mapping[str, Any] = field(default_factory=dict)  # settings of kdasr train --kd; {}: no soft targets
    kept: int = 8  # tokens that the teacher's distributions are kept for; 0: all
    targets_of: str = ""  # another recipe whose targets this one learns from, too
    starts_from: str = ""  # the recipe whose student of the same seed this one starts from; or teacher
    prune: Mapping[str, Any] = field(default_factory=dict)  # options of kdasr prune, for what it starts from
    shrink: Mapping[str, Any] = field(default_factory=dict)  # options of kdasr shrink, for what it starts from
    # whose configuration it trains with: student, fine_tune (the default with starts_from), teacher, teacher_fine_tune
    config: str = ""
    name: str = ""  # the file's, without .yaml: directories are called after it
    file: str = ""  # where this was read

    @property
    def soft(self) -> bool:
        """Whether it learns from a teacher's distributions, stored with its targets."""
        return any(self.distillation.get(name) for name in ("word_weight", "ctc_word_weight"))

    @property
    def learns_from_hypotheses(self) -> bool:
        """Whether it learns from hypotheses, of all its audio or of some."""
        return self.learns_from in ("hypotheses", "crossfit", "pseudo_labels", "all_hypotheses")

    @property
    def own_targets(self) -> bool:
        """Whether targets are made for it: hypotheses have to be chosen, or distributions stored."""
        return self.soft or self.learns_from_hypotheses

    @property
    def needs_the_rest(self) -> bool:
        """Whether it learns from the audio that counts as untranscribed, too."""
        return self.learns_from in ("pseudo_labels", "all_references", "all_hypotheses")

    @property
    def needs_no_teacher(self) -> bool:
        """Whether it can be trained before there is a teacher."""
        return not (self.own_targets or self.starts_from)

    @property
    def whose_config(self) -> str:
        """One of CONFIGS."""
        return self.config or ("fine_tune" if self.starts_from else "student")

    @property
    def of_teachers_network(self) -> bool:
        """Whether its network is the teacher's."""
        return self.whose_config in ("teacher", "teacher_fine_tune")


def find(name: str, named_by: str = "--students") -> Path:
    """The file of a student recipe, by its name or its path.

    Args:
        name: as --students takes it.
        named_by: the option, or the file and its key, that the name comes from: for messages.

    Raises:
        UserError: there is none; the message says the nearest name.
    """
    for candidate in (Path(OWN) / f"{name}.yaml", SHARED / f"{name}.yaml", Path(name)):
        if candidate.is_file():
            return candidate
    if name in RENAMED:
        raise UserError(f"{named_by}: {name} was renamed: {RENAMED[name]}")
    known = sorted(path.stem for path in [*SHARED.glob("*.yaml"), *Path(OWN).glob("*.yaml")])
    near = difflib.get_close_matches(name, known, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise UserError(f"{named_by} {name}: no such student recipe; {meant}there are {' '.join(known)}, and {OWN}/*.yaml")


def read(name: str, named_by: str = "--students") -> StudentRecipe:
    """A student recipe, with the targets' settings of the one that it names in targets_of.

    Args:
        name: as --students takes it.
        named_by: as in `find`.

    Raises:
        UserError: no such file; an unknown setting, or one of a wrong value; settings that do not go together.
    """
    recipe = read_file(find(name, named_by))
    if not recipe.targets_of:
        return recipe
    owner = read_file(find(recipe.targets_of, f"{recipe.file}: targets_of"))
    if owner.targets_of:
        raise UserError(
            f"{recipe.file}: targets_of {recipe.targets_of}: it has the targets of another recipe; name that one"
        )
    same = {setting: getattr(owner, setting) for setting in TARGETS}
    same["distillation"] = {**owner.distillation, **recipe.distillation}
    return dataclasses.replace(recipe, **same, targets_of=owner.file)


def ancestors(recipe: StudentRecipe) -> list[StudentRecipe]:
    """The recipes that one starts from, directly or through others, the nearest first."""
    found = []
    while recipe.starts_from not in ("", TEACHER):
        recipe = read(recipe.starts_from, f"{recipe.file}: starts_from")
        found.append(recipe)
    return found


def read_file(path: Path) -> StudentRecipe:
    """What one file says. Raises UserError as `read`."""
    if path.suffix == ".conf":
        raise UserError(f"{path}: student recipes are YAML now; write it as in {EXAMPLES} (docs/student-recipes.md)")
    given = read_yaml(path, f"see {EXAMPLES}")
    known = {one.name: one for one in dataclasses.fields(StudentRecipe) if one.name not in ("name", "file")}
    for key, value in given.items():
        if key not in known:
            raise UserError(f"{path}: no setting {key!r}; {nearest(str(key), tuple(known))}")
        kind = type(_DEFAULTS[key])
        if type(value) is not kind:
            raise UserError(f"{path}: {key}: {value!r}, expected {_KINDS[kind]}")
    recipe = StudentRecipe(**{"label": "", **given}, name=path.stem, file=str(path))
    check(recipe, given)
    return recipe


_DEFAULTS = {one.name: getattr(StudentRecipe(label=""), one.name) for one in dataclasses.fields(StudentRecipe)}
_KINDS = {str: "a text", bool: "true or false", int: "a whole number", dict: "settings, as in {name: value}"}


def nearest(word: str, known: Sequence[str]) -> str:
    """What to say of an unknown word: the one that was probably meant, or all."""
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"


def check(recipe: StudentRecipe, given: Mapping[str, Any]) -> None:
    """UserError where settings of a file do not go together, or have unknown values."""

    def refuse(key: str, said: str) -> None:
        raise UserError(f"{recipe.file}: {key}: {said}")

    if not recipe.label.strip():
        refuse("label", "is missing; say what tables are to call the student")
    if recipe.targets_of:
        for key in TARGETS:
            if key in given and not (key == "distillation" and set(recipe.distillation) <= set(BESIDE)):
                refuse(key, f"with targets_of {recipe.targets_of} that recipe sets it; leave one of the two out")
    elif "learns_from" not in given:
        refuse("learns_from", f"is missing; expected one of {', '.join(LEARNS_FROM)}")
    for key, known in (("learns_from", LEARNS_FROM), ("config", ("", *CONFIGS))):
        if getattr(recipe, key) not in known:
            refuse(key, f"{getattr(recipe, key)!r}: {nearest(getattr(recipe, key), [one for one in known if one])}")
    for key, names in (("selection", SELECTION), ("distillation", DISTILLATION), ("prune", PRUNE), ("shrink", SHRINK)):
        for name, value in getattr(recipe, key).items():
            if name not in names:
                refuse(key, f"no setting {name!r}; {nearest(str(name), names)}")
            if not isinstance(value, str | int | float):
                refuse(key, f"{name}: {value!r}, expected a number or a word")
    for key, least in (("beam", 0), ("nbest", 0), ("teachers", 1), ("kept", 0)):
        if getattr(recipe, key) < least:
            refuse(key, f"{getattr(recipe, key)}, expected {least} or more")
    if recipe.archive and recipe.learns_from not in ("hypotheses", "pseudo_labels", "all_hypotheses"):
        refuse("archive", f"with learns_from {recipe.learns_from} no hypotheses are read from it; leave it out")
    if recipe.taught_by and (recipe.teachers > 1 or recipe.learns_from == "crossfit"):
        refuse("taught_by", "one student teaches; leave out teachers and learns_from crossfit")
    if recipe.taught_by and not recipe.own_targets:
        refuse(
            "taught_by", "nothing is learnt of a teacher here; leave it out, or learn from hypotheses or distributions"
        )
    if recipe.selection.get("agree") == GREEDY and (recipe.archive or not recipe.learns_from_hypotheses):
        refuse("selection", "agree: greedy is of hypotheses that the teacher searches here; name an archive")
    if recipe.archive and (recipe.beam or recipe.nbest):
        refuse("archive", "its hypotheses are there already, without a search; leave out beam and nbest")
    if recipe.prune and not recipe.starts_from:
        refuse("prune", "expected starts_from, the recipe whose student is pruned")
    if recipe.prune and "sparsity" not in recipe.prune:
        refuse("prune", "expected its sparsity, as in {sparsity: 0.8}")
    check_shrink(recipe, refuse)
    check_selection(recipe, refuse)
    try:
        read_settings(recipe.distillation)
    except UserError as error:
        refuse("distillation", str(error).removeprefix("kd_conf: "))
    if recipe.learns_from == "crossfit" and recipe.soft:
        refuse("distillation", "cross-fitted hypotheses come from several teachers; leave it out")
    if recipe.baseline and recipe.oracle:
        refuse("oracle", "what has seen more labels is no baseline; leave one of the two out")


def check_shrink(recipe: StudentRecipe, refuse: Callable[[str, str], None]) -> None:
    """Refuse values that `kdasr shrink` would refuse."""
    given = recipe.shrink
    if not given:
        return
    if not recipe.starts_from:
        refuse("shrink", "expected starts_from, the recipe whose student is made smaller, or teacher")
    if recipe.prune:
        refuse("shrink", "prune is there, too; leave one of the two out")
    if given.get("like", LIKE) != LIKE:
        refuse("shrink", f"like: {given['like']!r}, expected {LIKE}: the configuration that the student trains with")
    if given.get("by", BY[0]) not in BY:
        refuse("shrink", f"by: {given['by']!r}, {nearest(str(given['by']), BY)}")
    for name, kinds in (("energy", (int, float)), ("utterances", (int,))):
        value = given.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, kinds):
            refuse("shrink", f"{name}: {value!r}, expected a {'share, as 0.9' if name == 'energy' else 'whole number'}")
    size: dict[str, Any] = {name: given[name] for name in ("energy", "by", "utterances") if name in given}
    size |= {"like": Path(LIKE)} if "like" in given else {}
    try:
        size |= {"params": number(str(given["params"]))} if "params" in given else {}
        Shrinking(Path(recipe.starts_from), Path(), **size)
    except UserError as error:
        refuse("shrink", str(error).removeprefix("--"))


def check_selection(recipe: StudentRecipe, refuse: Callable[[str, str], None]) -> None:
    """Refuse values that `kdasr targets` would refuse, which would be after the teacher is trained."""
    usual = {**Selection._field_defaults, **Limits._field_defaults, "unreferenced": UNREFERENCED[0], "agree": ""}
    for name, value in recipe.selection.items():
        wanted = "word" if isinstance(usual[name], str) else "number"
        if isinstance(value, bool) or isinstance(value, str) != (wanted == "word"):
            refuse("selection", f"{name}: {value!r}, expected a {wanted}")
    given = {**usual, **recipe.selection}
    if given["unreferenced"] not in UNREFERENCED:
        refuse("selection", f"unreferenced: {nearest(given['unreferenced'], UNREFERENCED)}")
    how = Selection(*(given[name] for name in Selection._fields))
    limits = Limits(*(given[name] for name in Limits._fields))
    try:
        check_values(how, limits)
        check_agree(bool(given["agree"]), limits)
    except UserError as error:
        refuse("selection", str(error).removeprefix("--"))
