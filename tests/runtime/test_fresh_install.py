"""What a user of a bundle does on a machine without torch: install, transcribe. Packages come from pip's registry."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
from bundles import RATE, export, speech, write_model

from kdasr.runtime.recognizer import Recognizer

ROOT = Path(__file__).parents[2]
MINUTE, COLD = 60.0, 1.5  # seconds: all of it, and from a file to its text


@pytest.mark.recipe
def test_a_fresh_environment_transcribes_within_a_minute(tmp_path):
    export(write_model(tmp_path / "m"), tmp_path / "b.zip")
    soundfile.write(tmp_path / "a.wav", speech(5.0), RATE, subtype="PCM_16")
    text = Recognizer(tmp_path / "b.zip").transcribe(tmp_path / "a.wav").text
    for name in ("setup.py", "pyproject.toml", "README.md"):
        (tmp_path / "source").mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "source")
    shutil.copytree(ROOT / "kdasr", tmp_path / "source" / "kdasr")
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*words):
        answer = subprocess.run(words, env=clean, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    start = time.monotonic()
    run(sys.executable, "-m", "venv", "venv")
    run("venv/bin/pip", "install", "-q", "--disable-pip-version-check", "./source[runtime]")
    run("venv/bin/kdasr", "transcribe", "--model", "b.zip", "a.wav")  # Python compiles what it reads
    whole = time.monotonic() - start
    there = set(run("venv/bin/pip", "list", "--format", "freeze").lower().replace("==", " ").split())
    assert not there & {"torch", "espnet", "scipy", "onnx"} and {"onnxruntime", "numpy", "soundfile"} <= there
    again = []
    for _ in range(3):
        start = time.monotonic()
        shown = run("venv/bin/kdasr", "transcribe", "--model", "b.zip", "a.wav")
        again.append(time.monotonic() - start)
        assert shown == f"a.wav\t{text}\n"
    print(f"installed and transcribed in {whole:.1f} s; a file of 5 s then takes {min(again):.2f} s")
    assert whole < MINUTE and min(again) < COLD
    program = "import kdasr, sys; print(kdasr.Recognizer('b.zip').transcribe('a.wav').text, 'torch' in sys.modules)"
    assert run("venv/bin/python", "-c", program) == f"{text} False\n"
    refused = subprocess.run(["venv/bin/kdasr", "feats", "--data", "d", "--out", "o"], env=clean, cwd=tmp_path,
                             capture_output=True, text=True, check=False)  # fmt: skip
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
