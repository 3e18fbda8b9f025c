"""Students and teachers that read audio: what they are given, what of a configuration is honoured, what is refused."""

from __future__ import annotations

import dataclasses
import sys
from fractions import Fraction
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import yaml
from tiny_training import CONFIG, write_place

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import check_inference

from kdasr.asr import audio_type, training
from kdasr.asr.inputs import Input, common_input, student_input
from kdasr.asr.lists import prepare_data
from kdasr.asr.trainer import espnet_options
from kdasr.cli import main
from kdasr.data.speed import change_speed
from kdasr.errors import UserError
from kdasr.files import read_table, read_yaml, write_table
from kdasr.networks.load import load_model
from kdasr.networks.teachers import Teachers

RATE = 8000
STOCK = {
    "encoder": "transformer",
    "encoder_conf": {"output_size": 16, "attention_heads": 2, "linear_units": 16, "num_blocks": 1},
    "decoder": "transformer",
    "decoder_conf": {"attention_heads": 2, "linear_units": 16, "num_blocks": 1},
    "frontend": "default",
    "frontend_conf": {"n_fft": 128, "hop_length": 64, "n_mels": 12, "fs": "8k"},
    "batch_bins": 100000,
    "max_epoch": 1,
}


def write_audio(directory: Path, seed: int, features: bool = True) -> None:
    """Give a set of tiny_training audio: pieces of one recording, one of them played at another speed."""
    random = np.random.default_rng(seed)
    keys = list(read_table(directory / "text"))
    samples = np.clip(random.normal(0, 3000, RATE * len(keys)), -32768, 32767).astype(np.int16)
    soundfile.write(directory / "r.flac", samples, RATE, subtype="PCM_16")
    write_table(directory / "wav.scp", {"r": str(directory / "r.flac")})
    write_table(directory / "segments", {key: f"r {n} {n + 0.6 + 0.01 * n}" for n, key in enumerate(keys)})
    write_table(directory / "utt2speed", {key: "1.0" if n else "0.9" for n, key in enumerate(keys)})
    write_table(directory / "utt2spk", {key: key for key in keys})
    if not features:
        (directory / "feats.scp").unlink()
        (directory / "utt2num_frames").unlink()
        (directory / "cmvn.npz").unlink()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A place of tiny_training whose sets have audio alone, with a configuration of a waveform student."""
    root = write_place(tmp_path_factory.mktemp("audio"), utterances=8)
    for n, part in enumerate(("train", "valid")):
        write_audio(root / part, n, features=False)
    for normalize in ("utterance_mvn", "global_mvn"):
        config = CONFIG | STOCK | {"normalize": normalize}
        (root / f"{normalize}.yaml").write_text(yaml.safe_dump(config))
    return root


def kdasr_train(root: Path, config: str, out: Path, *more: object) -> int:
    words = ["--config", root / config, "--train", root / "train", "--valid", root / "valid", "--tokens", root / "char"]
    return main(["train", *map(str, [*words, "--out", out, *more])])


@pytest.fixture(scope="module")
def students(place, tmp_path_factory):
    """A student of each normalisation, on references and on hypotheses."""
    root = tmp_path_factory.mktemp("students")
    assert kdasr_train(place, "utterance_mvn.yaml", root / "utterance_mvn") == 0
    assert kdasr_train(place, "global_mvn.yaml", root / "global_mvn", "--targets", place / "targets") == 0
    return root


def given(root: Path, config: str, out: Path, **more: object) -> training.Training:
    return training.Training(
        str(root / config), (str(root / "train"),), str(root / "valid"), str(root / "char"), str(out), **more
    )


def test_the_trainer_gets_the_cut_audio(place, tmp_path):
    lists = prepare_data(given(place, "utterance_mvn.yaml", tmp_path / "m"), tmp_path / "m")
    found = audio_type.load(str(lists / "train/audio"), f"audio_{RATE}")
    assert list(found) == list(read_table(place / "train/text")) and len(found) == 8
    recording, _ = soundfile.read(place / "train/r.flac", dtype="int16")
    for n, key in enumerate(found):
        cut = recording[n * RATE : round((n + 0.6 + 0.01 * n) * RATE)]
        cut = change_speed(cut, Fraction(9, 10)) if n == 0 else cut
        assert found[key].dtype == np.float32
        np.testing.assert_array_equal(found[key] * 32768, cut)
        assert read_table(lists / "train/speech_shape")[key] == str(len(cut))
    options = espnet_options(given(place, "utterance_mvn.yaml", tmp_path / "m"), tmp_path / "m", lists)
    for part in ("train", "valid"):
        assert f"{lists}/{part}/audio,speech,audio_{RATE}" in options
    assert not {"--input_size", "--normalize"} & set(options)


def test_front_end_and_normalisation_are_the_configuration_s(students):
    for name, kind in (("utterance_mvn", "UtteranceMVN"), ("global_mvn", "GlobalMVN")):
        model, args = load_model(students / name)
        assert args.frontend == "default" and args.normalize == name and args.input_size is None
        assert type(model.frontend).__name__ == "DefaultFrontend" and type(model.normalize).__name__ == kind


def test_global_statistics_are_those_of_the_front_end(place, students):
    model, _ = load_model(students / "global_mvn")
    every = []
    for samples in audio_type.load(str(students / "global_mvn/data/train/audio"), f"audio_{RATE}").values():
        with torch.no_grad():
            features, _ = model._extract_feats(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
        every.append(features[0].double())
    every = torch.cat(every)  # (T, F)
    np.testing.assert_allclose(model.normalize.mean, every.mean(0), rtol=1e-5)
    np.testing.assert_allclose(model.normalize.std, every.std(0, correction=0), rtol=1e-4)


@pytest.mark.parametrize("name", ["utterance_mvn", "global_mvn"])
def test_stock_espnet_decodes_the_same(place, students, name, tmp_path):
    """A network of ESPnet's behind its front end: its own program loads it, and finds the same texts."""
    data = tmp_path / "data"
    data.mkdir()
    rows = audio_type.load(str(students / name / "data/train/audio"), f"audio_{RATE}")
    for key, samples in rows.items():
        soundfile.write(data / f"{key}.wav", (samples * 32768).astype(np.int16), RATE, subtype="PCM_16")
    write_table(data / "wav.scp", {key: str(data / f"{key}.wav") for key in rows})
    write_table(data / "utt2spk", {key: key for key in rows})
    options = {"beam": 2, "ctc_weight": 0.3, "maxlenratio": 0.3}
    ours = check_inference.kdasr_decode(students / name, data, tmp_path / "ours", **options)
    theirs = check_inference.stock_decode(students / name, data, tmp_path / "theirs", **options)
    assert len(ours) == 8 and any(ours.values()) and theirs == ours


def written(root: Path, name: str, **changes: object) -> str:
    (root / name).write_text(yaml.safe_dump({**read_yaml(root / "utterance_mvn.yaml"), **changes}))
    return str(root / name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input_size": 80}, "has a frontend, which takes audio, and input_size"),
        ({"frontend": None}, "has frontend_conf, but no frontend"),
        ({"normalize_conf": {"stats_file": "x.npz"}}, "normalize_conf has a stats_file"),
        ({"frontend_conf": {"fs": "fast"}}, "frontend_conf has fs 'fast', expected a sampling rate"),
    ],
)
def test_what_is_not_honoured_is_refused(place, changes, said):
    with pytest.raises(UserError, match=said):
        student_input(written(place, "refused.yaml", **changes))


def test_inputs_of_configurations(place):
    assert student_input(str(place / "c.yaml")) == Input() and str(Input()) == "features"
    assert student_input(str(place / "utterance_mvn.yaml")) == Input(8000)
    assert student_input(written(place, "plain.yaml", frontend_conf=None)) == Input(16000)
    with pytest.raises(UserError, match="--frontend: is not taken behind --"):
        student_input(str(place / "c.yaml"), ("--frontend", "default"))


def test_audio_that_a_student_does_not_take(place, tmp_path, capsys):
    config = Path(written(place, "fast.yaml", frontend_conf={"fs": 16000})).name
    shapes = prepare_data(given(place, "utterance_mvn.yaml", tmp_path / "m"), tmp_path / "m") / "train/speech_shape"
    assert kdasr_train(place, config, tmp_path / "fast") == 1
    assert "r.flac has 8000 Hz, the model takes 16000; resample it (--resample)" in capsys.readouterr().err
    more = given(place, config, tmp_path / "fast", reading=training.Reading(resample=True))
    twice = read_table(prepare_data(more, tmp_path / "fast") / "train/speech_shape")
    for key, n in read_table(shapes).items():
        assert int(twice[key]) - 2 * int(n) in (-1, 0)  # the last sample of a copy may fall between two
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: holds no wav\.scp"):
        training.describe(dataclasses.replace(more, train=(str(tmp_path / "empty"),)))


def test_a_normalisation_of_features_is_honoured_too(tmp_path):
    root = write_place(tmp_path, utterances=3, normalize="utterance_mvn")
    lists = prepare_data(given(root, "c.yaml", root / "m"), root / "m")
    assert "--normalize" not in espnet_options(given(root, "c.yaml", root / "m"), root / "m", lists)
    (root / "c.yaml").write_text(yaml.safe_dump(CONFIG | {"normalize": "global_mvn"}))
    assert "global_mvn" in espnet_options(given(root, "c.yaml", root / "m"), root / "m", lists)
    (root / "m/cmvn.npz").unlink()
    with pytest.raises(UserError, match=r"normalize is global_mvn, and .* has no cmvn\.npz"):
        espnet_options(given(root, "c.yaml", root / "m"), root / "m", lists)


@pytest.fixture
def both(tmp_path):
    """A place whose sets have features and audio."""
    root = write_place(tmp_path, utterances=4, max_epoch=1)
    for n, part in enumerate(("train", "valid")):
        write_audio(root / part, n)
    (root / "audio.yaml").write_text(yaml.safe_dump(CONFIG | STOCK))
    return root


@pytest.mark.parametrize(
    ("student", "teacher", "told"),
    [
        ("c.yaml", "utterance_mvn", f"kd_audio,kd_speech,audio_{RATE}"),
        ("audio.yaml", "features", "kd_feats.scp,kd_speech,kaldi_ark"),
        ("audio.yaml", "utterance_mvn", None),
    ],
)
def test_teachers_beside_a_student_read_what_they_take(both, students, student, teacher, told, monkeypatch):
    directory = students / teacher
    if teacher == "features":
        directory = both / "teacher"
        assert kdasr_train(both, "c.yaml", directory) == 0
    heard: list[tuple] = []
    encode = Teachers.encode_batch
    monkeypatch.setattr(Teachers, "encode_batch", lambda self, *what: heard.append(what) or encode(self, *what))
    kd = ("--kd", "word_weight=0.5", f"teachers=[{directory}]")
    assert kdasr_train(both, student, both / "m", "--targets", both / "targets", *kd) == 0
    options = read_yaml(both / "m/config.yaml")["train_data_path_and_name_and_type"]
    found = [",".join(map(str, one)).rpartition("/")[2] for one in options if "kd_speech" in one]
    assert found == ([told] if told else [])
    if teacher == "features":
        right = dict(kaldiio.load_scp_sequential(str(both / "train/feats.scp")))
    else:
        right = dict(audio_type.load(str(both / "m/data/train" / ("kd_audio" if told else "audio")), f"audio_{RATE}"))
    got = [one[: int(n)].numpy() for speech, lengths in heard for one, n in zip(speech, lengths, strict=True)]
    assert len(got) == 4 == len(right)
    for one in right.values():
        assert any(one.shape == other.shape and (one == other).all() for other in got)


def test_teachers_beside_a_student_that_cannot_read(both, students, tmp_path, capsys):
    kd = ("--kd", "word_weight=0.5", f"teachers=[{students / 'utterance_mvn'}]", "--targets", both / "targets")
    (both / "train/wav.scp").unlink()
    assert kdasr_train(both, "c.yaml", both / "m", *kd) == 1
    error = capsys.readouterr().err
    assert f"train: has no audio of {RATE} Hz, which {students / 'utterance_mvn'} takes" in error
    (tmp_path / "other").mkdir()
    (tmp_path / "other/config.yaml").write_text(yaml.safe_dump({"input_size": 8, "token_list": ["a"]}))
    with pytest.raises(UserError, match=f"other takes features, .* takes audio of {RATE} Hz; teachers have to"):
        common_input((str(tmp_path / "other"), str(students / "utterance_mvn")))
