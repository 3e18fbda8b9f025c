"""A model is given the features that it was trained on: 8 kHz audio has as many bins as 16 kHz audio has."""

import argparse
import shutil

import pytest
from feats_inputs import corpus, kdasr_feats
from nbest_models import models, write_data, write_model
from tiny_training import CONFIG, write_tokens

from kdasr.asr.lists import prepare_data
from kdasr.bin import train
from kdasr.cli import main
from kdasr.data.joined import combine_dirs
from kdasr.data.made import FILE, check_made, made_as
from kdasr.data.places import Place, parse_table
from kdasr.data.subset import write_listed
from kdasr.errors import UserError
from kdasr.files import read_json, read_table, write_json, write_table
from kdasr.prune.prune import copy_rest
from kdasr.search.rows import read_rows

MADE = {
    "features": "log-mel filterbank, 8 bins, 25 ms povey window, 10 ms shift, int16 scale, dither 0",
    "rate": 16000,
    "normalised": "no",
}
OTHERS = {"narrow": r"rate: 8000, not 16000", "speaker": r"normalised: mean and variance by speaker, not no"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Sets of features: wide, narrow (of audio at 8 kHz), speaker (normalised), foreign; a model of wide ones."""
    root = tmp_path_factory.mktemp("made")
    audio = {rate: corpus(root / "data" / str(rate), 4, 2, rate) for rate in (8000, 16000)}
    for name, rate, more in (("wide", 16000, ()), ("narrow", 8000, ()), ("speaker", 16000, ("--cmvn", "speaker"))):
        assert kdasr_feats(audio[rate], root / name, "--rate", rate, "--bins", 8, *more) == 0
    write_data(root / "foreign", models.features([20, 30]))
    write_model(root / "m")
    write_json(root / "m" / FILE, MADE)
    write_json(root / "c.yaml", CONFIG)
    write_tokens(root / "char")
    return root


def places(directory):
    return parse_table(read_table(directory / "feats.scp"), directory / "feats.scp")


def test_what_is_known_of_features(place, tmp_path):
    assert made_as(places(place / "wide")) == MADE
    assert made_as(places(place / "narrow")) == {**MADE, "rate": 8000}
    assert made_as(places(place / "foreign")) == {} == made_as({})
    write_listed(place / "wide", tmp_path / "part", ["s0-00", "s1-01"])
    assert made_as(places(tmp_path / "part")) == MADE  # wherever a list of it stands
    assert (
        made_as(places(place / "wide") | {f"f{n}": p for n, p in enumerate(places(place / "foreign").values())}) == MADE
    )
    shutil.copytree(place / "foreign", tmp_path / "archive")
    write_json(tmp_path / "archive" / "manifest.json", {"rate": 8000})  # of something else
    assert made_as({"u": Place(str(tmp_path / "archive" / "feats.ark"), 6)}) == {}
    check_made(places(place / "narrow"), tmp_path)  # of a model that nothing is known of


@pytest.mark.parametrize("name", MADE)
def test_each_setting_counts(place, tmp_path, name):
    write_json(tmp_path / FILE, {**MADE, name: "another"})
    with pytest.raises(
        UserError, match=rf"wide: has other features than {tmp_path} was trained on \({name}: .*, not another"
    ):
        check_made(places(place / "wide"), tmp_path)
    write_json(tmp_path / FILE, MADE)
    check_made(places(place / "wide"), tmp_path)
    check_made(places(place / "foreign"), tmp_path)


@pytest.mark.parametrize("other", OTHERS)
def test_no_command_gives_a_model_other_features(place, tmp_path, other, capsys):
    targets = tmp_path / "targets"
    targets.mkdir()
    keys = list(read_table(place / other / "feats.scp"))
    for table, row in (("hyps", "3 4"), ("hyp_lens", "2")):
        write_table(targets / table, dict.fromkeys(keys, row))
    write_json(targets / "targets.json", {"settings": {"tokens": None}})
    words = ("--model", place / "m", "--data", place / other)
    for command in (
        ("decode", *words, "--out", tmp_path / "d"),
        ("nbest", *words, "--out", tmp_path / "n"),
        ("soft", *words, "--targets", targets),
        ("ppl", *words, "--out", tmp_path / "p.json"),
        ("frames", "align", *words, "--out", tmp_path / "a"),
    ):
        assert main([*map(str, command)]) == 1
        error = capsys.readouterr().err
        assert f"{place / other}: has other features than {place / 'm'} was trained on ({OTHERS[other]})" in error
        assert error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir() if not path.is_dir()} == set()


def test_its_own_and_unknown_ones_are_taken(place, tmp_path):
    source = train_source(place)
    write_listed(place / "wide", tmp_path / "part", ["s0-00"])
    assert len(read_rows(tmp_path / "part", source)) == 1
    assert len(read_rows(place / "wide", source)) == 4 and len(read_rows(place / "foreign", source)) == 2


def train_source(place):
    from kdasr.models import find_model

    return find_model(place / "m", None)


def arguments(place, out, sets, valid):
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    words = ("--config", place / "c.yaml", "--tokens", place / "char", "--out", out)
    return [
        "train",
        *map(str, words),
        "--train",
        *(str(place / one) for one in sets),
        "--valid",
        str(place / valid),
    ], parser


@pytest.mark.parametrize(("sets", "valid"), [(["wide", "narrow"], "wide"), (["wide"], "narrow"), (["speaker"], "wide")])
def test_sets_of_several_kinds_are_not_trained_on(place, tmp_path, sets, valid, capsys):
    words, _ = arguments(place, tmp_path / "exp", sets, valid)
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "has other features than" in error and "make them alike" in error and error.count("\n") == 1
    assert not (tmp_path / "exp").exists()


def test_a_training_writes_what_it_was_given(place, tmp_path, capsys):
    """And does not go on with others."""
    for sets, expected in ((["wide"], MADE), (["narrow"], {**MADE, "rate": 8000})):
        out = tmp_path / sets[0]
        words, parser = arguments(place, out, sets, sets[0])
        prepare_data(train.read_arguments(parser.parse_args(words[1:])), out)
        assert read_json(out / FILE) == expected
    words, _ = arguments(place, tmp_path / "wide", ["narrow"], "narrow")
    assert main(words) == 1
    assert "was trained on (rate: 8000, not 16000)" in capsys.readouterr().err


def test_a_pruned_model_takes_the_same(place, tmp_path):
    copy_rest(place / "m", tmp_path, {})
    assert read_json(tmp_path / FILE) == MADE


def test_joined_sets_are_known_as_well(place, tmp_path):
    shutil.copytree(place / "narrow", tmp_path / "other")
    for name in ("feats.scp", "wav.scp", "utt2spk", "text", "utt2num_frames", "utt2dur"):
        table = read_table(tmp_path / "other" / name)
        write_table(tmp_path / "other" / name, {f"x{key}": row for key, row in table.items()})
    combine_dirs(tmp_path / "both", [place / "wide", tmp_path / "other"])
    with pytest.raises(UserError, match=r"has other features than .* \(rate: .*; make them alike"):
        made_as(places(tmp_path / "both"))
