"""The one module that knows ESPnet: names in both generations, stand-ins, strict loading."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import kdasr.espnet
from kdasr.errors import UserError
from kdasr.espnet import OPTIONAL, check_weights, name, places

ROOT = Path(__file__).parents[1]


def imported_names() -> set[tuple[str, str]]:
    """Every (module, attribute) of ESPnet that the package imports or asks `name()` for."""
    found = set()
    for file in (ROOT / "kdasr").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("espnet"):
                found |= {(node.module, alias.name) for alias in node.names}
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "name"
                and isinstance(node.args[0], ast.Constant)
            ):
                module, _, attribute = str(node.args[0].value).partition(":")
                if module.startswith("espnet"):
                    found.add((module, attribute))
    return found


def test_names_exist_in_the_installed_espnet():
    names = imported_names()
    assert len(names) > 8
    for module, attribute in names:
        assert name(f"{module}:{attribute}") is not None


@pytest.mark.recipe
def test_names_exist_in_espnet_202611(tmp_path):
    """ESPnet for Python 3.12: its wheel is read, not installed (it does not support this Python)."""
    fetched = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--ignore-requires-python",
            "--quiet",
            "-d",
            str(tmp_path),
            "espnet==202611",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(tmp_path.glob("espnet-*.whl"))
    if not wheels:
        pytest.skip(f"espnet 202611 cannot be fetched here: {fetched.stderr.strip()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        files = set(wheel.namelist())
        for module, attribute in sorted(imported_names()):
            sources = [
                path
                for place in places(module)
                for path in (place.replace(".", "/") + ".py", place.replace(".", "/") + "/__init__.py")
                if path in files
            ]
            assert sources, f"{module} is in neither place"
            tree = ast.parse(wheel.read(sources[0]))
            defined = {getattr(node, "name", None) for node in ast.walk(tree)}
            defined |= {
                target.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            assert attribute in defined, f"{sources[0]} has no {attribute}"


def test_stand_ins_say_what_is_missing():
    absent = [
        package
        for package in OPTIONAL
        if package == "torchaudio" or not __import__("importlib.util").util.find_spec(package)
    ]
    assert absent
    import torchaudio.transforms

    with pytest.raises(UserError, match="pip install torchaudio"):
        torchaudio.transforms.MelSpectrogram()


def test_weights_must_match():
    import torch

    model = torch.nn.Linear(2, 3)
    good = model.state_dict()
    check_weights(model, good, "x.pth")
    with pytest.raises(UserError, match=r"x\.pth: lacks bias"):
        check_weights(model, {"weight": good["weight"]}, "x.pth")
    with pytest.raises(UserError, match="unknown more"):
        check_weights(model, {**good, "more": good["bias"]}, "x.pth")
    with pytest.raises(UserError, match="another shape of bias"):
        check_weights(model, {**good, "bias": torch.zeros(4)}, "x.pth")


def test_a_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="train the model first"):
        kdasr.espnet.load_model(tmp_path)
