"""Student recipes: what a file says, what it may say, and what shares another's targets."""

from dataclasses import fields

import pytest
import yaml

from kdasr.errors import UserError
from kdasr.recipe import student
from kdasr.recipe.student import SHARED, StudentRecipe, read, read_file
from kdasr.recipe.students import ancestors


def write(folder, name="mine.yaml", **given):
    given = {"label": "mine", "learns_from": "references", **given}
    (folder / name).write_text(yaml.safe_dump({key: value for key, value in given.items() if value is not None}))
    return folder / name


def test_a_file_is_read_as_it_stands(tmp_path):
    path = write(tmp_path, learns_from="hypotheses", beam=7, selection={"select": "topk", "k": 3}, kept=0)
    found = read_file(path)
    assert (found.name, found.file, found.label, found.beam, found.nbest, found.kept) == (
        "mine", str(path), "mine", 7, 0, 0,
    )  # fmt: skip
    assert found.selection == {"select": "topk", "k": 3}
    assert (found.baseline, found.oracle, found.teachers) == (False, False, 1)


WRONG = {  # a value of another kind for each setting
    **{"label": 3, "learns_from": ["references"], "baseline": "yes", "oracle": 1, "beam": "wide", "nbest": 2.5},
    **{"teachers": True, "selection": "topk", "distillation": [0.5], "kept": "all", "targets_of": 1, "starts_from": 2},
    **{"prune": 0.5, "shrink": "200k", "config": 1, "archive": 5, "taught_by": 2},
}


def test_every_setting_has_its_kind(tmp_path):
    settings = {one.name for one in fields(StudentRecipe)} - {"name", "file"}
    assert set(WRONG) == settings
    for name, value in WRONG.items():
        with pytest.raises(UserError, match=rf"mine.yaml: {name}: .*expected "):
            read_file(write(tmp_path, **{name: value}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"learn_from": "references"}, "no setting 'learn_from'; did you mean learns_from?"),
        ({"learns_from": "hypotesis"}, "learns_from: 'hypotesis': did you mean hypotheses?"),
        ({"selection": {"slect": "topk"}}, "selection: no setting 'slect'; did you mean select?"),
        ({"distillation": {"word_wieght": 1}}, "distillation: no setting 'word_wieght'; did you mean word_weight?"),
        ({"distillation": {"mask": "x"}}, "distillation: no setting 'mask'"),
        ({"distillation": {"word_weight": 5}}, "distillation: word_weight"),
        ({"distillation": {"word_weight": 0.5, "divergence": "klx"}}, "distillation: divergence"),
        ({"learns_from": "references", "archive": "a"}, "archive: with learns_from references no hypotheses"),
        ({"learns_from": "pseudo_labels", "archive": "a", "beam": 5}, "archive: its hypotheses are there already"),
        ({"selection": {"select": "topkk"}}, "selection: select topkk: expected one of topk, posterior"),
        ({"selection": {"select": 5}}, "selection: select: 5, expected a word"),
        ({"selection": {"k": "five"}}, "selection: k: 'five', expected a number"),
        ({"selection": {"k": True}}, "selection: k: True, expected a number"),
        ({"selection": {"ref_weight": 2}}, "selection: ref_weight 2: expected 0 to 1"),
        ({"selection": {"max_disagreement": 20}}, "selection: max_disagreement: needs another system's hypotheses"),
        (
            {"selection": {"agree": "greedy", "max_disagreement": 9}},
            "selection: agree: greedy is of hypotheses that the",
        ),
        (
            {"selection": {"agree": "greedy", "max_disagreement": 9}, "learns_from": "hypotheses", "archive": "a"},
            "selection: agree: greedy is of hypotheses that the teacher searches here; name an archive",
        ),
        ({"selection": {"agree": "exp/nbest"}}, "selection: agree: needs a limit"),
        ({"selection": {"agree": 5, "max_disagreement": 20}}, "selection: agree: 5, expected a word"),
        ({"selection": {"max_repeat": 1}}, "selection: max_repeat 1: expected 2 or more"),
        ({"selection": {"unreferenced": "dropp"}}, "selection: unreferenced: did you mean drop?"),
        ({"selection": {"k": [1]}}, r"selection: k: \[1\], expected a number or a word"),
        ({"prune": {"sparsity": 0.5}}, "prune: expected starts_from"),
        ({"prune": {"spare": 0.5}, "starts_from": "refs"}, "prune: expected its sparsity"),
        ({"shrink": {"params": "200k"}}, "shrink: expected starts_from"),
        ({"shrink": {"parms": "200k"}, "starts_from": "teacher"}, "shrink: no setting 'parms'; did you mean params?"),
        ({"shrink": {"params": "many"}, "starts_from": "refs"}, "shrink: params many: expected a number of parameters"),
        ({"shrink": {"params": 0}, "starts_from": "refs"}, "shrink: params 0: expected a number of parameters above 0"),
        ({"shrink": {"params": [5]}, "starts_from": "refs"}, r"shrink: params: \[5\], expected a number or a word"),
        ({"shrink": {"by": "layers"}, "starts_from": "refs"}, "shrink: no size is given"),
        ({"shrink": {"params": 5, "by": "unit"}, "starts_from": "refs"}, "shrink: by: 'unit', did you mean units?"),
        (
            {"shrink": {"params": 5, "like": "config"}, "starts_from": "refs"},
            "shrink: params and --like are both given",
        ),
        ({"shrink": {"energy": 0.9}, "starts_from": "refs"}, "shrink: energy 0.9: belongs to --by rank"),
        ({"shrink": {"energy": "all", "by": "rank"}, "starts_from": "refs"}, "shrink: energy: 'all', expected a share"),
        ({"shrink": {"energy": True, "by": "rank"}, "starts_from": "refs"}, "shrink: energy: True, expected a share"),
        (
            {"shrink": {"params": 5, "utterances": 0.5}, "starts_from": "refs"},
            "shrink: utterances: 0.5, expected a whol",
        ),
        ({"shrink": {"params": 5, "utterances": 0}, "starts_from": "refs"}, "shrink: utterances 0: expected 1 or more"),
        ({"shrink": {"like": "conf/x.yaml"}, "starts_from": "refs"}, "shrink: like: 'conf/x.yaml', expected config"),
        (
            {"shrink": {"params": 5}, "prune": {"sparsity": 0.5}, "starts_from": "refs"},
            "shrink: prune is there, too; leave one of the two out",
        ),
        ({"teachers": 0}, "teachers: 0, expected 1 or more"),
        ({"taught_by": "a", "learns_from": "hypotheses", "teachers": 2}, "taught_by: one student teaches"),
        ({"taught_by": "a", "learns_from": "crossfit"}, "taught_by: one student teaches"),
        ({"taught_by": "a"}, "taught_by: nothing is learnt of a teacher here"),
        ({"taught_by": "a", "targets_of": "word", "learns_from": "references"}, "learns_from: with targets_of word"),
        ({"beam": -1}, "beam: -1, expected 0 or more"),
        ({"learns_from": "crossfit", "distillation": {"word_weight": 1}}, "distillation: cross-fitted"),
        ({"label": " "}, "label: is missing"),
        ({"baseline": True, "oracle": True}, "oracle: what has seen more labels is no baseline"),
        ({"targets_of": "word"}, "learns_from: with targets_of word that recipe sets it"),
        *(
            ({"targets_of": "word", "learns_from": None, name: value}, f"{name}: with targets_of word that recipe sets")
            for name, value in {
                "taught_by": "a", "beam": 5, "nbest": 5, "archive": "x", "selection": {"k": 1}, "kept": 4,
                "teachers": 2, "distillation": {"word_weight": 0.5},
            }.items()
        ),
        ({"distillation": {"cr_weight": -1}}, "distillation: cr_weight is -1.0, expected a number of 0 or more"),
    ],
)
def test_what_a_file_may_not_say(tmp_path, given, said):
    with pytest.raises(UserError, match=f"mine.yaml: {said}"):
        read_file(write(tmp_path, **given))


@pytest.mark.parametrize(
    "shrink",
    [
        {"params": "1.5M"},
        {"params": 200000, "by": "layers", "utterances": 7},
        {"energy": 0.9, "by": "rank"},
        {"energy": 1, "by": "rank"},
        {"like": "config", "utterances": 7},
    ],
)
def test_what_it_starts_from_may_be_shrunk(tmp_path, shrink):
    assert read_file(write(tmp_path, starts_from="refs", shrink=shrink)).shrink == shrink


def test_yaml_that_would_make_objects_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_text("label: !!python/object/apply:os.system ['touch ran']\n")
    with pytest.raises(UserError, match=r"mine\.yaml"):
        read_file(tmp_path / "mine.yaml")


def test_targets_of_another_are_that_ones_and_nothing_else_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    owner = {"learns_from": "hypotheses", "beam": 9, "nbest": 4, "teachers": 2, "kept": 3}
    owner |= {"selection": {"select": "wer"}, "distillation": {"word_weight": 0.25}, "starts_from": "refs"}
    write(tmp_path, "owner.yaml", **owner, prune={"sparsity": 0.5}, config="teacher", oracle=True)
    write(tmp_path, "small.yaml", **owner, shrink={"like": "config"})
    (tmp_path / "more_small.yaml").write_text("label: more\ntargets_of: small.yaml\n")
    assert read("more_small.yaml").shrink == {}
    (tmp_path / "more.yaml").write_text("label: more\ntargets_of: owner.yaml\nbaseline: true\n")
    found = read("more.yaml")
    owner["archive"] = owner["taught_by"] = ""
    assert {name: getattr(found, name) for name in student.TARGETS} == {name: owner[name] for name in student.TARGETS}
    write(tmp_path, "asr.yaml", learns_from="pseudo_labels", archive="exp/whisper")
    (tmp_path / "more_asr.yaml").write_text("label: more\ntargets_of: asr.yaml\n")
    assert read("more_asr.yaml").archive == "exp/whisper"
    assert (found.label, found.starts_from, found.prune, found.config, found.oracle) == ("more", "", {}, "", False)
    assert (found.baseline, found.targets_of) == (True, "owner.yaml")
    (tmp_path / "third.yaml").write_text("label: third\ntargets_of: more.yaml\n")
    with pytest.raises(UserError, match="it has the targets of another recipe; name that one"):
        read("third.yaml")


def test_losses_beside_those_of_the_targets_may_be_added(tmp_path, monkeypatch):
    """Two views of the same targets, or the own beam; what decides about the targets themselves may not."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "owner.yaml", distillation={"word_weight": 0.25, "risk_beam": 3})
    beside = {"cr_weight": 0.2, "cr_time_masks": 2.5, "risk_weight": 0.9, "risk_beam": 5, "risk_cost": "words"}
    (tmp_path / "more.yaml").write_text(f"label: more\ntargets_of: owner.yaml\ndistillation: {beside}\n")
    found = read("more.yaml")
    assert found.distillation == {"word_weight": 0.25, **beside} and found.soft
    for name in ("word_weight", "temperature", "divergence", "ctc_hyps"):
        (tmp_path / "other.yaml").write_text(
            f"label: other\ntargets_of: owner.yaml\ndistillation: {{cr_weight: 0.2, {name}: 1}}\n"
        )
        with pytest.raises(UserError, match=r"other\.yaml: distillation: with targets_of owner\.yaml that recipe sets"):
            read("other.yaml")


def test_ones_own_recipe_goes_before_a_shared_one_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/students").mkdir(parents=True)
    assert read("refs").file == str(SHARED / "refs.yaml")
    write(tmp_path / "conf/students", "refs.yaml", label="my own")
    assert read("refs").label == "my own"
    with pytest.raises(UserError, match=r"--students refz: no such student recipe; did you mean refs\?"):
        read("refz")


def test_an_old_name_is_refused_with_the_new_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert set(student.RENAMED.values()) <= {path.stem for path in SHARED.glob("*.yaml")}
    for old, new in student.RENAMED.items():
        assert not (SHARED / f"{old}.yaml").exists()
        with pytest.raises(UserError, match=f"^--students: {old} was renamed: {new}$"):
            read(old)
    (tmp_path / "mine.yaml").write_text("label: mine\ntargets_of: extra\n")
    with pytest.raises(UserError, match=r"^mine\.yaml: targets_of: extra was renamed: pseudo$"):
        read("mine.yaml")
    write(tmp_path, starts_from="refs_tune")
    with pytest.raises(UserError, match=r"^mine\.yaml: starts_from: refs_tune was renamed: refs_fine_tune$"):
        ancestors(read("mine.yaml"))


def test_a_recipe_of_ones_own_may_have_an_old_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/students").mkdir(parents=True)
    write(tmp_path / "conf/students", "control.yaml", label="my own")
    assert read("control").label == "my own"


def test_those_of_kdasr_say_who_is_baseline_and_oracle():
    every = [read(path.stem) for path in SHARED.glob("*.yaml")]
    assert len(every) > 30 and len({one.label for one in every}) == len(every)
    assert {one.name for one in every if one.oracle} == {"oracle"}
    assert {one.name for one in every if one.baseline} == {"refs"}
    for one in every:
        assert one.oracle == (one.learns_from == "all_references")


@pytest.mark.parametrize(
    ("given", "own_targets", "needs_the_rest", "needs_no_teacher", "config"),
    [
        ({}, False, False, True, "student"),
        ({"learns_from": "all_references"}, False, True, True, "student"),
        ({"learns_from": "pseudo_labels"}, True, True, False, "student"),
        ({"learns_from": "all_hypotheses"}, True, True, False, "student"),
        ({"learns_from": "hypotheses"}, True, False, False, "student"),
        ({"learns_from": "crossfit"}, True, False, False, "student"),
        ({"distillation": {"word_weight": 0.5}}, True, False, False, "student"),
        ({"starts_from": "refs"}, False, False, False, "fine_tune"),
        ({"starts_from": "teacher", "config": "teacher"}, False, False, False, "teacher"),
    ],
)
def test_what_follows_from_it(tmp_path, given, own_targets, needs_the_rest, needs_no_teacher, config):
    one = read_file(write(tmp_path, **given))
    assert (one.own_targets, one.needs_the_rest, one.needs_no_teacher, one.whose_config) == (
        own_targets, needs_the_rest, needs_no_teacher, config,
    )  # fmt: skip
