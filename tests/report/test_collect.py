"""What is read of an exp directory: utterances' errors, times of decoding, the order of systems."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from test_compare import scored, system, teachers
from test_report_table import REFERENCES, write_decode, write_model, write_score

from kdasr.report import collect
from kdasr.report.collect import Scored, System
from kdasr.report.pace import AUDIO
from kdasr.score.kaldi import per_utterance


def decoded(tag, name, **decode):
    return Scored(tag, name, decode, {}, {}, {})


def model(*sets):
    return System("m", {}, None, {(one.tag, one.set): one for one in sets})


def test_errors_and_words_of_an_utterance_are_those_of_its_operations(tmp_path):
    """3 right, 1 substituted, 4 inserted, 2 deleted: 7 errors in 6 words."""
    path = write_model(tmp_path, "m", REFERENCES, 10) / "decode_beam/test/score_wer"
    write_score(path, [0], 10)
    lines = per_utterance("u1", tuple("abcdef"), tuple("abxwwwwc"), "CCSIIIICDD") + per_utterance("u2", (), ("a",), "I")
    (path / "per_utt").write_text(lines + per_utterance("u3", ("a",), (), "D"))
    one = collect.systems(tmp_path)[0].scored["beam", "test"]
    assert one.utterances == {"u1": (7, 6), "u2": (1, 0), "u3": (1, 1)}
    (path / "score.json").unlink()  # per_utt is that of a score that was not finished
    (tmp_path / "m/decode_beam/test/decode.json").write_text("{}")
    one = collect.systems(tmp_path)[0].scored["beam", "test"]
    assert (one.utterances, one.wer) == ({}, {})


def test_words_and_characters_have_scores_of_their_own(tmp_path):
    path = write_model(tmp_path, "m", REFERENCES, 10) / "decode_beam/test"
    for kind, errors in (("wer", [4]), ("cer", [1])):
        write_score(path / f"score_{kind}", errors, 10, kind)
    for hidden in (".tmp", "empty"):
        (path.parent / hidden).mkdir()
    (path.parent / ".tmp/decode.json").write_text("{}")  # of a decoding that has not ended
    (path.parent / "file").write_text("")
    one = collect.systems(tmp_path)[0]
    assert list(one.scored) == [("beam", "test")]
    found = one.scored["beam", "test"]
    assert (found.wer["wer"], found.cer["cer"], found.utterances) == (40.0, 10.0, {"u0": (4, 10)})
    (path / "score_wer/score.json").unlink()
    found = collect.systems(tmp_path)[0].scored["beam", "test"]
    assert (found.wer, found.cer["cer"], found.utterances) == ({}, 10.0, {})


def test_a_real_time_factor_is_of_all_seconds_of_what_was_asked_for():
    one = model(
        decoded("beam", "a", cpu_seconds=30.0, wall_seconds=20.0, audio_seconds=100.0),
        decoded("beam", "b", cpu_seconds=30.0, wall_seconds=10.0, audio_seconds=20.0),
        decoded("beam", "c", cpu_seconds=9.0, audio_seconds=0),  # no audio, and no factor
        decoded("beam", "d", audio_seconds=80.0),
        decoded("greedy", "a", cpu_seconds=5.0, wall_seconds=4.0, audio_seconds=100.0, device="cpu"),
        decoded("greedy", "b", cpu_seconds=50.0, wall_seconds=2.0, audio_seconds=20.0, device="cuda:0"),
        decoded("greedy", "c", cpu_seconds=50.0, wall_seconds=6.0, audio_seconds=60.0, device="cuda"),
    )
    assert AUDIO.cost(one, "beam") == 0.5  # 60 / 120: not the mean of 0.3 and 1.5
    assert [AUDIO.cost(one, "beam", name=name) for name in "abcd"] == [0.3, 1.5, None, None]
    assert (AUDIO.cost(one, "greedy"), AUDIO.cost(one, "greedy", True)) == (0.05, 0.1)
    assert [AUDIO.cost(one, "greedy", True, name) for name in "abc"] == [None, 0.1, 0.1]
    assert AUDIO.cost(one, "other") is None and AUDIO.cost(one, "beam", True) is None


@examples(100)
@given(st.permutations(range(10)))
def test_systems_are_in_one_order_however_they_are_found(order):
    made = [
        *teachers([[1], [1]], [5], "zzz"),
        system("t", "long: teacher", role="teacher"),
        *(system(f"r{seed}", "references", seed=seed) for seed in (2, 10, None)),
        system("a", "a student, references and more", seed=1),
        system("b", "student, pruned, references", seed=0, non_zero=5),
        *(system(name, label, seed=1) for name, label in (("d", "long: references"), ("c", "long: a student"))),
    ]
    assert len(made) == 10
    assert collect.in_order([made[place] for place in order]) == made


def test_who_is_on_references():
    """The whole student whose record says that it is a baseline, whatever its label; roles tell teachers."""
    labels = ("student on references", "references, then 5-best", "on references (1)", "long: references")
    assert [collect.is_baseline(system("m", label)) for label in labels] == [True, False, False, True]
    assert not collect.is_baseline(system("m", labels[0], role="teacher"))
    assert not collect.is_baseline(system("m", labels[0], role="teacher", baseline=True))
    assert not collect.is_baseline(system("m", labels[0], non_zero=5))
    assert not collect.is_baseline(system("m", labels[0], baseline=False))
    assert collect.is_baseline(system("m", labels[1], baseline=True))
    assert collect.learned_references(system("m", labels[0], non_zero=5))
    assert not collect.learned_references(system("m", labels[0], soft_targets=True))
    assert collect.learned_references(system("m", "any", learned_from="all_references"))
    assert [system("m", label).network for label in labels] == ["", "", "", "long"]
    assert [system("m", label, role=role).is_teacher for label, role in (("teacher", "student"), ("a", "teacher"))] == [
        False,
        True,
    ]


def test_the_teacher_that_a_student_names():
    first, second = teachers([[1], [1]], [5])
    student = system("s", "student", teacher=second.name)
    every = [first, second, student]
    assert collect.teacher_of(student, every) is second and collect.teacher_of(second, every) is second
    for unknown in (None, "another"):
        assert collect.teacher_of(system("s", "student", teacher=unknown), every) is first
    assert collect.teacher_of(student, [student]) is None


def test_searches_and_sets_are_listed_greedy_first():
    every = [system("a", "a", *(scored([1], [2], tag, name) for tag in ("beam5", "greedy", "beam") for name in "ba"))]
    every[0].ppl["c"] = {"ppl": 1.0}
    assert (collect.tags(every), collect.sets(every)) == (["greedy", "beam", "beam5"], ["a", "b"])
    assert collect.sets_of_modes(every) == ["a", "b", "c"]


def test_a_size_is_that_of_the_averaged_checkpoint(tmp_path):
    path = write_model(tmp_path, "m", REFERENCES, 1000)
    write_decode(path, "beam", "test", [1], 1.0)
    assert collect.systems(tmp_path)[0].bytes == 4000
    (path / "valid.acc.ave.pth").unlink()
    assert collect.systems(tmp_path)[0].bytes is None
    info = json.loads((path / "kdasr.json").read_text())
    assert collect.systems(tmp_path)[0].info == info


@pytest.mark.parametrize(("seed", "shown"), [(0, "0"), (7, "7"), (None, "-")])
def test_a_seed_that_is_not_known_is_a_dash(seed, shown):
    assert system("m", "x", seed=seed).seed == shown
    assert System("m", {}, None).seed == "-"
