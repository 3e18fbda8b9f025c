"""What kdasr train sets itself is refused in a configuration, by name; what it does not set is honoured."""

from __future__ import annotations

import itertools

import pytest
import yaml
from tiny_training import CONFIG, write_place

from kdasr.asr import set_by_us
from kdasr.asr.inputs import student_input
from kdasr.asr.lists import prepare_data
from kdasr.asr.trainer import espnet_options
from kdasr.asr.training import Training, describe
from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.files import read_yaml


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_place(tmp_path_factory.mktemp("ours"), utterances=4, max_epoch=1)


def given(place, **more):
    sets = (str(place / "train"),), str(place / "valid"), str(place / "char")
    return Training(str(place / "c.yaml"), *sets, str(place / "m"), **more)


def test_every_option_that_kdasr_gives_espnet_is_refused_in_a_configuration(place):
    """Whatever stands on the command line wins over the configuration: so none of it may stand there."""
    asked = given(place, targets=str(place / "targets"), teacher="T")
    lists = prepare_data(asked, place / "m")
    options = espnet_options(asked, place / "m", lists)
    names = {word.removeprefix("--") for word in options if word.startswith("--")}
    checked_elsewhere = {"config", "kd_conf", "normalize", "normalize_conf", "fold_length"}
    assert names - checked_elsewhere <= set_by_us.SETTINGS.keys()
    assert {"token_list", "output_dir", "input_size"} <= names
    of_kd = {word.partition("=")[0] for option, word in itertools.pairwise(options) if option == "--kd_conf"}
    assert of_kd == {"targets", "teacher"} <= set(set_by_us.FOUND_OUT)


VALUES = {"seed": 3, "ngpu": 1, "input_size": 80, "dist_backend": "mpi", "resume": False, "use_preprocessor": False}


@pytest.mark.parametrize("key", [*set_by_us.SETTINGS, *(f"kd_conf: {key}" for key in set_by_us.FOUND_OUT)])
def test_a_setting_that_would_be_replaced_is_refused_by_name(place, key):
    value = VALUES.get(key, True if key.startswith(("multi", "collect", "dry", "print")) else "mine")
    part, _, name = key.partition(": ")
    (place / "mine.yaml").write_text(yaml.safe_dump(CONFIG | {part: {name: value} if name else value}))
    with pytest.raises(UserError, match=rf"mine\.yaml: sets {key}, which would be replaced: .*; remove it"):
        student_input(str(place / "mine.yaml"))


def test_what_is_as_kdasr_makes_it_may_stand_there(place):
    same = {key: ours.same[0] for key, ours in set_by_us.SETTINGS.items() if ours.same}
    absent = dict.fromkeys(set_by_us.SETTINGS.keys() - same.keys())
    assert same["resume"] is True and same["dry_run"] is False and "seed" in absent
    set_by_us.refuse(CONFIG | same | absent | {"kd_conf": {"word_weight": 0.5, "teacher": ""}}, "c.yaml")
    with pytest.raises(UserError, match=r"c\.yaml: sets use_preprocessor, which"):
        set_by_us.refuse({"use_preprocessor": 1}, "c.yaml")


def test_a_trained_models_config_is_refused_with_all_that_has_to_go(place, capsys):
    words = ["--train", place / "train", "--valid", place / "valid", "--tokens", place / "char", "--out"]
    assert main(["train", "--config", str(place / "c.yaml"), *map(str, [*words, place / "first"])]) == 0
    again = ["train", "--config", str(place / "first/config.yaml"), *map(str, [*words, place / "second"])]
    capsys.readouterr()
    assert main(again) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and not (place / "second/config.yaml").exists()
    for key in ("output_dir", "seed", "token_list", "input_size", "train_shape_file"):
        assert key in said
    assert "resume" not in said and "bpemodel" not in said  # as kdasr has it; none
    left = {key: value for key, value in read_yaml(place / "first/config.yaml").items() if key not in said}
    left["normalize_conf"] = {}
    (place / "left.yaml").write_text(yaml.safe_dump(left))
    again[2] = str(place / "left.yaml")
    assert main(again) == 0  # without these it trains the same network
    assert (place / "first/valid.acc.ave.pth").read_bytes() == (place / "second/valid.acc.ave.pth").read_bytes()


@pytest.mark.parametrize("word", ["--token_list", "--seed=3", "--ngpu", "--bpem", "--normalize", "--frontend_conf"])
def test_options_behind_the_bar_are_refused_too(place, word):
    with pytest.raises(UserError, match=f"^{word}: is not taken behind --; "):
        student_input(str(place / "c.yaml"), ("--max_epoch", "3", word, "4"))


def test_weights_to_start_from_are_named_once(place):
    (place / "init.yaml").write_text(yaml.safe_dump(CONFIG | {"init_param": ["a.pth"]}))
    asked = {**vars(given(place)), "config": str(place / "init.yaml")}
    describe(Training(**asked))
    with pytest.raises(UserError, match=r"sets init_param, which would be replaced: the model starts from --init"):
        describe(Training(**asked | {"init": str(place / "char")}))
