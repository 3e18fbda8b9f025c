"""Stage 11: whose students are exported, measured on what, and with which search."""

import pytest
import yaml
from scripts import kd_plan

from kdasr.errors import UserError
from kdasr.recipe.exports import export, exported, searched

RECIPES = {
    "base": {"baseline": True},
    "first": {},
    "second": {},
    "all": {"learns_from": "all_references", "oracle": True},
}


@pytest.fixture(autouse=True)
def recipes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/students").mkdir(parents=True)
    for name, more in RECIPES.items():
        text = yaml.safe_dump({"label": name, "learns_from": "references"} | more)
        (tmp_path / f"conf/students/{name}.yaml").write_text(text)


@pytest.mark.parametrize(
    ("students", "asked", "names"),
    [
        ("base first second all", "", ["second"]),  # the last that a teacher has taught something
        ("base all", "", ["all"]),
        ("second base first", "", ["first"]),
        ("base first second all", "base all base", ["base", "all"]),
        ("base first", "none", []),
    ],
)
def test_whose_students(students, asked, names):
    assert [one.name for one in exported(kd_plan(students=students, transcribed="0.5", exports=asked))] == names


def test_another_name_is_refused():
    with pytest.raises(UserError, match="--exports other: is not among --students base first; add it there"):
        exported(kd_plan(students="base first", exports="first other"))


def test_the_step(tmp_path):
    """The first configuration and seed, the first test set, the search of stage 6, the rules of stage 7."""
    given = {
        "students": "base first",
        "seeds": "7 8",
        "test_sets": "one two",
        "student_configs": "conf/b.yaml conf/a.yaml",
    }
    given |= {"beam": "9", "ctc_weight": "0.4", "score_opts": "--wsj_filter", "export_opts": "--int8 --licence CC0"}
    (step,) = export(kd_plan(**given))
    out = "exp/student_b_first_s7/bundle"
    assert step.out == out and step.remade and step.makes == (f"{out}.zip", f"{out}.txt")
    line = (
        f"kdasr export --model exp/student_b_first_s7 --out {out} --zip --beam 9 --ctc_weight 0.4 --data dump/fbank/one"
    )
    assert " ".join(step.commands[0].words) == f"{line} --wsj_filter --int8 --licence CC0"
    assert step.inputs == ("exp/student_b_first_s7", "dump/fbank/one")
    (tmp_path / "data/one").mkdir(parents=True)
    (tmp_path / "data/one/wav.scp").write_text("u a.wav\n")
    (step,) = export(kd_plan(**given))
    assert f"{line} --example data/one --wsj_filter" in " ".join(step.commands[0].words)


def test_a_bundle_searches_as_the_recipe_decodes():
    opts = ("--x", "7", "--normalize_length", "--lm", "dir", "--maxlenratio", "2", "--penalty", "0.5", "--replace_unk")
    assert searched(opts) == ("--normalize_length", "--maxlenratio", "2", "--penalty", "0.5")
    assert searched(()) == ()
