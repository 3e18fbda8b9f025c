"""Search options: defaults, ranges and limits, and that each word of the command line is heard."""

from __future__ import annotations

import argparse
import dataclasses

import pytest

from kdasr.bin.search_arguments import add_io_arguments, add_search_arguments, read_arguments
from kdasr.errors import UserError
from kdasr.search.options import SearchOptions


def parsed(*words, nbest=True):
    parser = argparse.ArgumentParser()
    add_io_arguments(parser, "what is written")
    add_search_arguments(parser, nbest)
    needed = [] if "--model" in words else ["--model", "model"]
    return parser.parse_args([*needed, "--data", "data", "--out", "out", *(str(word) for word in words)])


def options_of(args):
    return read_arguments(args).options


def test_defaults():
    usual = dict(
        beam=5, ctc_weight=0.3, penalty=0.0, maxlenratio=0.0, minlenratio=0.0, normalize_length=False,
        lm_weight=0.0, ctc_window=0, log_linear=False,
    )  # fmt: skip
    assert dataclasses.asdict(options_of(parsed())) == {**usual, "nbest": 5}
    assert dataclasses.asdict(options_of(parsed(nbest=False))) == {**usual, "nbest": 1}
    assert dataclasses.asdict(SearchOptions()) == {**usual, "nbest": 5}
    given = {*usual, "nbest", "data", "out", "model_file"}
    rest = {key: value for key, value in vars(parsed()).items() if key not in given}
    assert rest == dict(
        model=["model"], lm=None, lm_file=None, batch_frames=160000, nj=1, job=None, merge=False, shard_size=256,
        ngpu=0, graphs=False, channel=None, resample=False, lang="", task="", replace_unk=False, bf16=False,
    )  # fmt: skip
    assert options_of(parsed("--lm", "dir")).lm_weight == 0.3


SAID = {
    "beam": 7,
    "nbest": 9,
    "ctc_weight": 0.25,
    "penalty": -0.75,
    "maxlenratio": 0.625,
    "minlenratio": 0.125,
    "normalize_length": True,
    "ctc_window": 13,
    "log_linear": True,
    "lm_weight": 0.875,
}


def words(key, value):
    needed = {"log_linear": ["--model", "a", "b"], "lm_weight": ["--lm", "dir"]}.get(key, [])
    return [*needed, f"--{key}", *([] if value is True else [value])]


@pytest.mark.parametrize("key", SAID)
def test_each_option_is_heard_and_changes_nothing_else(key):
    assert set(SAID) == {field.name for field in dataclasses.fields(SearchOptions)}
    expected = dataclasses.replace(SearchOptions(), **{key: SAID[key]})
    assert options_of(parsed(*words(key, SAID[key]))) == expected
    if key != "nbest":
        heard = options_of(parsed(*words(key, SAID[key]), nbest=False))
        assert heard == dataclasses.replace(expected, nbest=1)


def test_all_options_together():
    given = [word for key, value in SAID.items() for word in words(key, value)]
    assert options_of(parsed(*given)) == SearchOptions(**SAID)
    assert options_of(parsed("--lm", "dir", "--lm_weight", 0)).lm_weight == 0.0
    assert options_of(parsed("--lm", "dir", "--lm_weight", -0.5)).lm_weight == -0.5


def test_what_needs_something_else_is_refused():
    for given in (["--lm_weight", 0], ["--lm_file", "x.pth"]):
        with pytest.raises(UserError, match="give --lm DIR"):
            options_of(parsed(*given))
    with pytest.raises(UserError, match="there is one model"):
        options_of(parsed("--log_linear"))


GOOD = [
    {"beam": 1, "nbest": 1},
    {"ctc_weight": 0.0},
    {"ctc_weight": 1.0},
    {"ctc_window": 1},
    {"maxlenratio": -1.0, "minlenratio": -1.0},
    {"maxlenratio": 1.5, "minlenratio": 2.0},
    {"lm_weight": -3.0},
]
BAD = [
    ({"beam": 0}, "--beam 0 --nbest 5"),
    ({"nbest": 0}, "--beam 5 --nbest 0"),
    ({"ctc_weight": -0.001}, "--ctc_weight -0.001"),
    ({"ctc_weight": 1.001}, "--ctc_weight 1.001"),
    ({"ctc_weight": float("nan")}, "--ctc_weight nan"),
    ({"ctc_window": -1}, "--ctc_window -1"),
    ({"lm_weight": float("inf")}, "--lm_weight inf"),
    ({"penalty": float("nan")}, "--penalty nan: expected a finite number"),
    ({"maxlenratio": float("nan")}, "--maxlenratio nan: expected a finite number"),
    ({"minlenratio": float("inf")}, "--minlenratio inf: expected a finite number"),
    ({"maxlenratio": -0.999}, "--maxlenratio and --minlenratio"),
    ({"minlenratio": -0.001}, "--maxlenratio and --minlenratio"),
]


@pytest.mark.parametrize("given", GOOD, ids=str)
def test_what_is_at_the_edge_is_in_range(given):
    options = SearchOptions(**given)
    assert options.check() is options


@pytest.mark.parametrize(("given", "said"), BAD, ids=str)
def test_what_is_out_of_range_is_named(given, said):
    with pytest.raises(UserError, match=said):
        SearchOptions(**given).check()


@pytest.mark.parametrize(
    ("ratio", "longest", "shortest"),
    [(0.0, 7, 0), (0.1, 1, 0), (0.3, 2, 2), (0.5, 3, 3), (1.0, 7, 7), (1.4, 9, 9), (-1.0, 1, 1), (-3.9, 3, 3)],
)
def test_limits_of_seven_frames(ratio, longest, shortest):
    """The longest is at least one token, both are rounded towards zero."""
    assert SearchOptions(maxlenratio=ratio).limits(7) == (longest, 0)
    assert SearchOptions(minlenratio=ratio).limits(7) == (7, shortest)


def test_ranges_are_checked_on_the_command_line():
    with pytest.raises(UserError, match="--beam 0"):
        options_of(parsed("--beam", 0))
