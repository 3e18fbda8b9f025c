"""guard(): neither pickles nor commands in what ESPnet's trainer reads, whatever the environment says."""

import os
import pickle
import types

import kaldiio.matio
import kaldiio.utils
import pytest
import torch

from kdasr.data.places import RUN_COMMANDS
from kdasr.errors import UserError
from kdasr.guard import guard

FORCED, NOT_FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


class Touch:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def popen(*_args, **_options):
    return "a command has run"


@pytest.fixture
def unguarded(monkeypatch):
    """As a process begins, whatever other tests have guarded."""
    monkeypatch.setattr(kaldiio.matio, "pickle", pickle)
    monkeypatch.setattr(kaldiio.utils, "my_popen", popen)
    for name in (FORCED, NOT_FORCED, RUN_COMMANDS):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize("before", [{}, {NOT_FORCED: "1"}, {FORCED: "0"}, {FORCED: "0", NOT_FORCED: "1"}])
@pytest.mark.parametrize("asked", [{}, {"weights_only": False}])
def test_torch_loads_tensors_alone(unguarded, tmp_path, before, asked):
    torch.save({"a": torch.arange(3), "b": Touch(tmp_path / "ran")}, tmp_path / "bad.pth")
    torch.save({"a": torch.arange(3), "b": [1, "x"]}, tmp_path / "good.pth")
    for name, value in before.items():
        unguarded.setenv(name, value)
    guard()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "bad.pth", **asked)
    assert not (tmp_path / "ran").exists()
    assert torch.load(tmp_path / "good.pth", **asked)["b"] == [1, "x"]
    # the processes that this one starts get it too
    assert os.environ[FORCED] == "1" and NOT_FORCED not in os.environ


def test_without_it_the_pickle_runs(unguarded, tmp_path):
    torch.save({"b": Touch(tmp_path / "ran")}, tmp_path / "bad.pth")
    torch.load(tmp_path / "bad.pth", weights_only=False)
    assert (tmp_path / "ran").is_dir()


@pytest.mark.parametrize("allowed", [None, "", "0", "yes", "1"])
def test_kaldiio_runs_commands_if_they_are_allowed_and_unpickles_never(unguarded, tmp_path, allowed):
    with open(tmp_path / "a.ark", "wb") as stream:
        stream.write(b"PKL")
        pickle.dump(Touch(tmp_path / "ran"), stream)
    if allowed is not None:
        unguarded.setenv(RUN_COMMANDS, allowed)
    guard()
    with pytest.raises(UserError, match=r"an archive holds a pickled object, .*; make it again"):
        kaldiio.load_mat(str(tmp_path / "a.ark"))
    assert not (tmp_path / "ran").exists()
    if allowed == "1":
        assert kaldiio.utils.my_popen("touch x |") == "a command has run"
        return
    for command in ("touch x", b"touch x\n"):
        with pytest.raises(UserError, match=rf"^'touch x': a command in a list is not run; .*set {RUN_COMMANDS}=1"):
            kaldiio.utils.my_popen(command)


def test_it_may_be_called_twice(unguarded):
    guard()
    guard()
    assert isinstance(kaldiio.matio.pickle, types.SimpleNamespace)
    with pytest.raises(UserError):
        kaldiio.utils.my_popen("touch x")
