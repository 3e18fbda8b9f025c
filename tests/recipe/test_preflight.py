"""What is refused before anything runs, and leaves nothing behind."""

import pytest
import yaml
from scripts import kd_options, write_model

from kdasr.errors import UserError
from kdasr.recipe import kd

NETWORK = {"encoder": "conv_rnn", "decoder": "attention_gru"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    for name in ("teacher", "student"):
        (tmp_path / f"conf/{name}.yaml").write_text(yaml.safe_dump(NETWORK))
    write_model(tmp_path / "model")
    return tmp_path


def plan(**given):
    return kd.work(kd_options(**{"students": "refs nbest", **given}), "./run.sh")


def no_checkpoint(place):
    (place / "model/valid.acc.ave.pth").unlink()


def no_pieces(place):
    write_model(place / "model", token_type="bpe", bpemodel="nowhere/bpe.model")


def no_config(place):
    (place / "model/config.yaml").unlink()


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (no_checkpoint, r"model: none of valid\.acc\.ave\.pth, .* is there"),
        (no_pieces, r"model/config\.yaml: names nowhere/bpe\.model as its sentencepiece model, which is gone"),
        (no_config, r"--teacher_dir model: no config\.yaml there"),
    ],
)
def test_a_teacher_that_is_not_whole(place, break_it, said):
    plan(teacher_dir="model")
    break_it(place)
    before = sorted(place.rglob("*"))
    for stage in ("1", "2", "3"):
        with pytest.raises(UserError, match=said):
            plan(teacher_dir="model", stage=stage)
    plan(teacher_dir="model", stage="4")  # it is in expdir then
    (place / "exp/teacher_model").mkdir(parents=True)
    (place / "exp/teacher_model/.done").touch()
    plan(teacher_dir="model")
    assert sorted(place.rglob("*")) == sorted([*before, *(place / "exp").rglob("*"), place / "exp"])


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_configurations_with_settings_that_would_be_replaced(place, role):
    (place / f"conf/{role}.yaml").write_text(yaml.safe_dump({**NETWORK, "bpemodel": "mine.model"}))
    for stage in "12345":
        with pytest.raises(UserError, match=rf"conf/{role}\.yaml: sets bpemodel, which would be replaced"):
            plan(stage=stage)
    plan(stage="6")
    if role == "teacher":
        plan(teacher_dir="model")  # nothing is trained with it


def test_somebodys_data_directories_are_not_written_into(place):
    (place / "mine/train").mkdir(parents=True)
    (place / "mine/train/wav.scp").write_text("a a.wav\n")
    with pytest.raises(UserError, match="--datadir mine: stage 1 writes there, and it did not make mine/train; name"):
        plan(datadir="mine")
    plan(datadir="mine", stage="2")
    for made in ("mine/log/data.log", "mine/.done"):  # by a run that was killed, or ended
        (place / made).parent.mkdir(exist_ok=True)
        (place / made).touch()
        plan(datadir="mine")
        (place / made).unlink()
    plan(datadir="other")


def test_somebodys_data_directories_get_no_features(place):
    """Of a dump directory that another toolkit has filled."""
    for name in ("dev", "more"):
        folder = place / f"mine/fbank/{name}"
        folder.mkdir(parents=True)
        (folder / "wav.scp").write_text("a a.wav\n")
        given = {"unlabelled_set": "more"} if name == "more" else {}
        said = f"--dumpdir mine: stage 2 writes there, and it did not make mine/fbank/{name}; name another directory"
        for stage in ("1", "2"):
            with pytest.raises(UserError, match=said):
                plan(dumpdir="mine", stage=stage, **given)
        plan(dumpdir="mine", stage="3", **given)
        for made in (folder / ".done", folder / "log/feats.1.log"):  # by a run that ended, or was killed
            made.parent.mkdir(exist_ok=True)
            made.touch()
            plan(dumpdir="mine", **given)
            made.unlink()
        (folder / "wav.scp").unlink()
