"""Which directory holds what, and what directories and tables call a network."""

import pytest
from scripts import kd_options

from kdasr.recipe.layout import Layout, network, network_label
from kdasr.recipe.student import StudentRecipe

PSEUDO = StudentRecipe("x", "pseudo_labels", name="mine")
REFS = StudentRecipe("x", "references", name="refs")
FOLLOWS = StudentRecipe("x", "hypotheses", targets_of="conf/students/owner.yaml", name="mine")


def at(**given):
    return Layout(kd_options(**given))


@pytest.mark.parametrize(
    ("given", "feats", "train_all", "labelled", "unlabelled", "folds"),
    [
        ({}, "dump/fbank", "train", "train", "", "train_folds2"),
        ({"transcribed": "1.0", "folds": "4"}, "dump/fbank", "train", "train", "", "train_folds4"),
        ({"transcribed": ".5"}, "dump/fbank", "train", "train_lab.5", "train_unlab.5", "train_lab.5_folds2"),
        (
            {"transcribed": "0.10", "speed": "0.9,1.0", "feats_type": "spectrogram", "dumpdir": "d", "train_set": "t"},
            *("d/spectrogram", "t_sp", "t_sp_lab0.10", "t_sp_unlab0.10", "t_sp_lab0.10_folds2"),
        ),
    ],
)
def test_features(given, feats, train_all, labelled, unlabelled, folds):
    found = at(**given)
    assert (found.feats, found.train_all, found.labelled, found.folds) == (
        feats, *(f"{feats}/{name}" for name in (train_all, labelled, folds)),
    )  # fmt: skip
    assert found.unlabelled == (f"{feats}/{unlabelled}" if unlabelled else "")
    assert found.all_transcribed == (not unlabelled)
    assert found.train_sets(PSEUDO) == [found.train_all] and found.train_sets(REFS) == [found.labelled]
    assert found.train_sets(StudentRecipe("x", "all_references")) == [found.train_all]


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        ({}, "char"),
        ({"token_type": "bpe", "vocab": "7"}, "bpe7"),
        ({"token_type": "unigram", "vocab": "7", "feats_type": "spectrogram"}, "unigram7_spectrogram"),
        ({"teacher_dir": "models/big/", "token_type": "bpe"}, "of_big"),
    ],
)
def test_token_lists(given, tokens):
    assert at(**given).tokens == f"dump/tokens/{tokens}"


def test_models_and_targets():
    here = at(expdir="e", tag="t", seed="4", teacher_config="conf/mini_teacher.yaml", folds="3")
    assert here.teacher == here.teacher_of(4) == "e/teacher_mini_t_s4"
    assert here.ensemble(1) == ["e/teacher_mini_t_s4"]
    assert here.ensemble(3) == ["e/teacher_mini_t_s4", "e/teacher_mini_t_s5", "e/teacher_mini_t_s6"]
    assert here.fold_teacher(2) == "e/teacher_mini_t_fold2of3_s4"
    assert here.student(PSEUDO, "conf/mini_long_student.yaml", "9") == "e/student_mini_long_mine_t_s9"
    assert here.targets(PSEUDO) == "e/teacher_mini_t_s4/targets_mine" and here.targets(REFS) == ""
    assert here.targets(FOLLOWS) == "e/teacher_mini_t_s4/targets_owner"
    given = at(teacher_dir="models/big/", tag="t", seed="4")
    assert given.teacher == given.teacher_of(5) == "exp/teacher_big_t"


def test_each_other_set_is_there_once():
    assert at(valid_set="b", test_sets="c b a c").other_sets == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("config", "role", "name"),
    [
        ("conf/teacher.yaml", "teacher", ""),
        ("conf/mini_teacher.yaml", "teacher", "_mini"),
        ("conf/mini_long_student.yaml", "student", "_mini_long"),
        ("conf/munim2018/student_mid.yaml", "student", "_munim2018_mid"),
        ("../x/conf/munim2018/teacher.yaml", "teacher", "_munim2018"),
        ("conf/student_mid.yaml", "student", "_student_mid"),  # not of a folder of conf
        ("else/where/student_mid.yaml", "student", "_student_mid"),
        ("tune.yaml", "student", "_tune"),
    ],
)
def test_what_a_configuration_adds(config, role, name):
    assert network(config, role) == name


@pytest.mark.parametrize(
    ("student", "teacher", "label"),
    [
        ("conf/student.yaml", "conf/teacher.yaml", ""),
        ("conf/mini_student.yaml", "conf/mini_teacher.yaml", ""),
        ("conf/mini_long_student.yaml", "conf/mini_teacher.yaml", "long"),
        ("conf/minimal_student.yaml", "conf/mini_teacher.yaml", "minimal"),
        ("conf/small_student.yaml", "conf/teacher.yaml", "small"),
        ("conf/small_student.yaml", "conf/mini_teacher.yaml", "small"),
        ("conf/munim2018/student_mid.yaml", "conf/munim2018/teacher.yaml", "mid"),
    ],
)
def test_what_tables_call_a_network(student, teacher, label):
    assert network_label(student, teacher) == label
