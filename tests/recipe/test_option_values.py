"""Options of a recipe's script: kinds, ranges, words, and the stages that they ask for."""

from __future__ import annotations  # as the scripts' own options have it

from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from scripts import kd_options, options_of, write_model

from kdasr.errors import UserError
from kdasr.recipe import frames, kd, lm_script
from kdasr.recipe.kd_options import Options
from kdasr.recipe.options import option, parse, stage_range


@dataclass(frozen=True)
class Some:
    count: int = option(least=2)
    any: int
    flag: bool
    kind: str = option(choices=("", "slurm"))
    name: str
    words: tuple[str, ...]
    opts: tuple[str, ...] = option(quoted=True)


GOOD = {
    "count": "2",
    "any": "0",
    "flag": "true",
    "kind": "",
    "name": "a = b",
    "words": " x  'y z' ",
    "opts": "x 'y z' \\*",
}


def parsed(**given):
    return parse(Some, [f"{name}={value}" for name, value in (GOOD | given).items()])


def test_each_kind():
    assert parsed() == Some(2, 0, True, "", "a = b", ("x", "'y", "z'"), ("x", "y z", "*"))
    assert not parsed(flag="false").flag and parsed(kind="slurm").kind == "slurm" and parsed(count="12").count == 12


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"count": "1"}, "--count 1: expected a whole number, 2 or more"),
        ({"count": "-3"}, "--count -3: expected a whole number, 2 or more"),
        ({"any": "1.5"}, "--any 1.5: expected a whole number, 0 or more"),
        ({"any": ""}, "--any : expected a whole number, 0 or more"),
        ({"kind": "pbs"}, r"--kind pbs: expected slurm \(or nothing\)"),
        ({"opts": "a 'b"}, "--opts a 'b: a quote is not closed"),
        ({"more": "1"}, "--more: .* does not know this option of the script"),
    ],
)
def test_what_is_refused(given, said):
    with pytest.raises(UserError, match=said):
        parsed(**given)


def test_an_option_that_the_script_lacks_is_named():
    with pytest.raises(UserError, match=r"--opts: .* expects this option, which the script does not have"):
        parse(Some, [f"{name}={value}" for name, value in GOOD.items() if name != "opts"])


NAMES = ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("first", "last", "numbers"),
    [("1", "4", [1, 2, 3, 4]), ("b", "3", [2, 3]), ("d", "d", [4]), ("1", "1", [1]), ("a", "d", [1, 2, 3, 4])],
)
def test_stages(first, last, numbers):
    assert list(stage_range(NAMES, first, last)) == numbers


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("0", "4", "--stage 0: no such stage; expected 1 to 4 or one of: a b c d"),
        ("1", "5", "--stop_stage 5: no such stage"),
        ("e", "4", "--stage e: no such stage"),
        ("c", "2", "--stage c --stop_stage 2: the last stage comes before the first"),
    ],
)
def test_stages_that_are_none(first, last, said):
    with pytest.raises(UserError, match=said):
        stage_range(NAMES, first, last)


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 10, 11]),
        ({"lm": "true"}, list(range(1, 12))),
        ({"stage": "lm"}, [8, 9, 10, 11]),
        ({"stage": "9"}, [9, 10, 11]),
        ({"stop_stage": "rescore"}, list(range(1, 10))),
        ({"stage": "7", "stop_stage": "8"}, [7, 8]),
        ({"stage": "7"}, [7, 10, 11]),
        ({"lm": "true", "stage": "3", "stop_stage": "4"}, [3, 4]),
    ],
)
def test_language_models_are_asked_for(given, numbers):
    assert kd_options(**given).stages == numbers


@pytest.mark.parametrize("value", ["1", "1.0", "0.5", ".25", "0.05"])
def test_shares_that_are_taken(value):
    assert kd_options(transcribed=value).transcribed == value


LEAST = {"nj": 1, "num_nodes": 1, "folds": 2, "vocab": 1, "nbest": 1, "beam": 1, "decode_nj": 1}
LEAST |= {"lm_min_count": 1, "rescore_beam": 1}


def test_the_least_of_each_number():
    numbers = {one.name for one in fields(Options) if one.type == "int"}
    for name in numbers:
        least = LEAST.get(name, 0)
        assert getattr(kd_options(**{name: str(least)}), name) == least
        if least:
            with pytest.raises(UserError, match=f"--{name} {least - 1}: expected a whole number, {least} or more"):
                kd_options(**{name: str(least - 1)})
    assert set(LEAST) <= numbers


def test_options_of_commands_keep_their_quotes_and_lists_do_not():
    given = kd_options(**{name: "x 'y z'" for name in ("data_opts", "train_opts", "target_opts", "nbest_opts")})
    assert {given.data_opts, given.train_opts, given.target_opts, given.nbest_opts} == {("x", "y z")}
    given = kd_options(**{f"{name}_opts": "x 'y z'" for name in ("decode", "score", "rescore", "lm_text")})
    assert {given.decode_opts, given.score_opts, given.rescore_opts, given.lm_text_opts} == {("x", "y z")}


BAD_TAGS = (
    "greedy beam0",
    "beam2x",
    "best",
    "xbeam",
    "attention0",
    "attention_5",
    "greedy_token",
    "beam5_token",
    "greedy5",
)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        *(({"transcribed": value}, "expected a share above 0") for value in ("0", "0.0", "1.1", "2", "half", "", "10")),
        *(({"decode_tags": value}, "expected some of greedy") for value in BAD_TAGS),
        ({"student_configs": ""}, "--student_configs: expected the configuration"),
        (
            {"fine_tune_configs": "a b"},
            "--fine_tune_configs a b: expected one for each of --student_configs conf/student.yaml",
        ),
        ({"token_type": "phone"}, "--token_type phone: expected char or unigram or bpe or word"),
        ({"feats_type": "mfcc"}, "--feats_type mfcc: expected fbank or spectrogram"),
    ],
)
def test_what_the_main_recipe_refuses(given, said):
    with pytest.raises(UserError, match=said):
        kd_options(**given)


@pytest.fixture
def configs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    for name in ("frames", "lm_teacher", "lm_student"):
        (tmp_path / f"conf/{name}.yaml").write_text("")


def test_stages_of_frames_that_nothing_is_asked_of(configs):
    def stages(**given):
        return frames.work(options_of("utils/frames.sh", **given), "").stages

    assert stages(share="0.1", groups="3") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert stages(share="0", groups="3") == [1, 2, 3, 4, 6, 7, 8]
    assert stages(share="0.1", groups="0") == [1, 2, 3, 4, 5, 7, 8]
    with pytest.raises(UserError, match="--main 9: is none of --temperatures 1 2"):
        stages(main="9", temperatures="1 2")
    with pytest.raises(UserError, match=r"gone\.yaml: no such file; name the configuration with --frames_config"):
        stages(frames_config="gone.yaml")


def test_language_models_and_texts_that_are_not_there(configs):
    for given, said in (
        ({"stored": "some"}, "--stored some: expected a number of words, 0, or all"),
        ({"student_config": "gone.yaml"}, "gone.yaml: no such file; name the configurations"),
        ({"teacher_config": "gone.yaml"}, "gone.yaml: no such file; name the configurations"),
    ):
        with pytest.raises(UserError, match=said):
            lm_script.work(options_of("utils/lm.sh", **given), "")
    with pytest.raises(UserError, match=r"data/text/train\.txt: no such text"):
        lm_script.work(options_of("utils/lm.sh"), "").steps(1)


@pytest.mark.parametrize(
    ("given", "beside"),
    [
        ({}, True),
        ({"early_students": "false"}, False),
        ({"nj": "1"}, False),
        ({"ngpu": "1"}, False),
        ({"teacher_dir": "m"}, False),
    ],
)
def test_when_students_are_trained_beside_the_teacher(given, beside, configs):
    write_model(Path("m"))
    work = kd.work(kd_options(**given), "./run.sh")
    assert (work.early is not None) == beside
    assert len(work.early_after) == 1 and work.early_after[0].startswith("dump/tokens/")
    assert work.counted == (6, 7) and work.expdir == "exp"
