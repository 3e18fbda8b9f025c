"""`kdasr train`: what it refuses before training, and checkpoints that are whole."""

import pytest
import torch

from kdasr import checkpoints
from kdasr.asr.train import claim_settings
from kdasr.asr.worker import whole
from kdasr.errors import UserError
from kdasr.files import write_json


def test_a_checkpoint_is_whole_or_the_old_one(tmp_path):
    path = tmp_path / "checkpoint.pth"
    whole(torch.save)({"epoch": 1}, path)

    def dies(value, stream):
        stream.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole(dies)({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checkpoint.pth", "checksums.json"]
    checkpoints.check_noted(path)


def test_a_checkpoint_that_was_changed_is_not_gone_on_from(tmp_path):
    """Killed before or after the rename, the noted checksums fit; a flipped bit does not."""
    path = tmp_path / "checkpoint.pth"
    save = whole(torch.save)
    save({"epoch": 1}, path)
    first = path.read_bytes()
    save({"epoch": 2}, path)
    checkpoints.check_noted(path)
    second = path.read_bytes()
    path.write_bytes(first)  # as if the second rename had not come
    checkpoints.check_noted(path)
    for place in range(0, len(second), 97):
        path.write_bytes(second[:place] + bytes([second[place] ^ 4]) + second[place + 1 :])
        with pytest.raises(UserError, match=r"checkpoint\.pth: was changed after it was written"):
            checkpoints.check_noted(path)


def test_another_runs_checkpoint_is_not_resumed(tmp_path):
    claim_settings(tmp_path, {"seed": 1})
    claim_settings(tmp_path, {"seed": 2})  # nothing was trained yet
    (tmp_path / "checkpoint.pth").touch()
    claim_settings(tmp_path, {"seed": 2})
    with pytest.raises(UserError, match="begun with other settings"):
        claim_settings(tmp_path, {"seed": 3})


def run(tmp_path, *options):
    from kdasr.cli import main

    return main(
        [
            "train",
            "--config",
            str(tmp_path / "c.yaml"),
            "--train",
            str(tmp_path / "train"),
            "--valid",
            str(tmp_path / "train"),
            "--tokens",
            str(tmp_path / "char"),
            "--out",
            str(tmp_path / "exp"),
            *options,
        ]
    )


@pytest.fixture
def data(tmp_path):
    (tmp_path / "c.yaml").write_text("encoder: conv_rnn\n")
    (tmp_path / "char").mkdir()
    (tmp_path / "char" / "tokens.txt").write_text("<blank>\n<unk>\nA\n<sos/eos>\n")
    (tmp_path / "char" / "nlsyms.txt").write_text("")
    write_json(tmp_path / "char" / "tokens.json", {"type": "char"})
    (tmp_path / "train").mkdir()
    for table in ("feats.scp", "utt2num_frames"):
        (tmp_path / "train" / table).write_text("u1 1\n")
    return tmp_path


def test_untranscribed_audio_needs_targets(data, capsys):
    assert run(data) == 1
    assert "untranscribed audio needs --targets" in capsys.readouterr().err
    assert not (data / "exp" / "config.yaml").exists()


def test_text_without_features_is_named(data, capsys):
    (data / "train" / "text").write_text("u1 A\nu2 A\n")
    assert run(data) == 1
    assert "u2 (and 0 more) has no features" in capsys.readouterr().err


def test_targets_must_have_been_made(data, capsys):
    assert run(data, "--targets", str(data / "none")) == 1
    assert "select targets first" in capsys.readouterr().err
