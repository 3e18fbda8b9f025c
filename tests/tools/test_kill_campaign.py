"""tools/kill_campaign.py: that it would notice what does not hold; and a short campaign, in which all holds."""

import json
import os
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from kill_campaign import MARK, WAYS, WHOM, Process, Reference, processes, victims, whole

CAMPAIGN = Path(__file__).resolve().parents[2] / "tools/kill_campaign.py"


def place(folder, **texts):
    """A recipe's directory with these files in exp."""
    (folder / "exp").mkdir(parents=True)
    for name, text in texts.items():
        (folder / "exp" / name).write_text(text)
    return folder


@pytest.fixture
def reference(tmp_path):
    """Two runs that agree but for a time."""
    return Reference(
        place(tmp_path / "before", old="was here\n"),
        place(tmp_path / "one", text="u a b\n", table="| 12.5 | 3.1 s |\n", old="changed\n"),
        place(tmp_path / "two", text="u a b\n", table="| 12.5 | 3.4 s |\n", old="changed\n"),
    )


@pytest.mark.parametrize(
    "texts, said",
    [
        ({}, []),
        ({"table": "| 12.5 | 99 s |\n"}, []),
        ({"text": "u a c\n"}, ["exp/text differs from an uninterrupted run's"]),
        ({"table": "| 12.6 | 3.1 s |\n"}, ["exp/table differs from an uninterrupted run's in more than times"]),
        ({"table": "| 12.5 |\n"}, ["exp/table differs from an uninterrupted run's in more than times"]),
        ({"more": ""}, ["exp/more is there, which an uninterrupted run does not write"]),
        ({"old": None}, ["exp/old is missing"]),
        ({"x.log": "", ".lock": "", ".text.1.tmp": ""}, []),
    ],
)
def test_what_differs_is_told(reference, tmp_path, texts, said):
    left = {"text": "u a b\n", "table": "| 12.5 | 3.1 s |\n", "old": "changed\n"} | texts
    there = place(tmp_path / "there", **{name: text for name, text in left.items() if text is not None})
    assert list(reference.differences(there)) == said


def test_half_a_file_is_told(reference, tmp_path):
    there = place(tmp_path / "there", text="u a b\n", old="was here\n", table="| 12.5 ", x="", **{".y.tmp": "half"})
    assert list(reference.partial(place(tmp_path / "late", table="| 12.5 | 99 s |\n"))) == []
    said = ["exp/table is half-written (7 bytes)", "exp/x is half-written (0 bytes)"]
    assert sorted(reference.partial(there)) == said


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.pth", "a.yaml", "a.txt"])
def test_whole_and_half(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".pth"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data", "weights" * 100)
    else:
        path.write_text({"a.yaml": "a: 1\nb: [1, 2]\n"}.get(name, json.dumps({"a": [1, 2]}) + "\n"))
    assert whole(path) is (name != "a.txt")  # a text has to be what it is in the end
    path.write_bytes(path.read_bytes()[:-3])
    assert not whole(path)


def test_who_is_killed():
    script = ("python3", "-ES", "/x/utils/run.py", "log", "kdasr")
    run = [
        Process(10, 1, 10, 10, ("bash", "run.sh")),
        Process(11, 10, 10, 10, script),
        Process(12, 11, 12, 12, script),
        Process(13, 12, 13, 12, ("bash", "local/data.sh")),
        Process(14, 13, 13, 12, ("kdasr", "data")),
        Process(15, 14, 15, 15, ("worker",)),
    ]
    draw = random.Random(0)
    found = {who: {pid for _ in range(20) for pid in victims(who, 10, run, draw)} for who in WHOM}
    assert found == {
        "group": {10, 11}, "session": {10, 11}, "shell": {10}, "run.py": {11}, "keeper": {12}, "job": {13},
        "worker": {14, 15},
    }  # fmt: skip
    assert victims("keeper", 10, run[:2], draw) == []
    assert {who for who, _ in WAYS} == set(WHOM) and len(WAYS) == 19


def test_processes_are_known_by_their_mark():
    mark = f"test {os.getpid()}"
    process = subprocess.Popen(["setsid", "-w", "sleep", "60"], env={**os.environ, MARK: mark})
    try:
        while not any("sleep" in one.words[0] for one in processes(mark)):
            assert process.poll() is None
        assert processes("another") == []
    finally:
        for one in processes(mark):
            os.kill(one.id, signal.SIGKILL)
        process.wait()
    assert processes(mark) == []


def campaign(*words):
    done = subprocess.run([sys.executable, CAMPAIGN, *map(str, words)], capture_output=True, text=True, timeout=1500)
    return done.returncode, done.stdout, done.stderr


def test_help_and_what_is_refused(tmp_path):
    code, out, _ = campaign("--help")
    assert code == 0 and "--kills 19 --stages data" in out
    assert campaign("--kills", 1)[0] == 2
    code, _, err = campaign("--folder", tmp_path)
    assert code == 2 and "is there, but of no campaign; name a new one" in err


@pytest.mark.kill
def test_a_short_campaign(tmp_path):
    """Stages 1 and 2, two kills each; and another, which takes the same uninterrupted runs."""
    words = ["--stages", "data", "feats", "--kills", 4, "--folder", tmp_path / "kills"]
    code, out, err = campaign(*words)
    assert code == 0, out + err
    assert out.splitlines()[0].split("|")[1].strip() == "held / kills"
    assert [line.split("|")[-2].strip() for line in out.splitlines()[2:5]] == ["2 / 2", "2 / 2", "4 / 4"]
    assert err.count("uninterrupted run") == 4 and "4 of 4 kills, about 0 min left: " in err
    # a file that is not what it is without kills
    for number in (1, 2):
        (tmp_path / f"kills/run{number}_after_data/data/test_dev93/spk2gender").write_text("001 x\n")
    code, out, err = campaign("--stages", "data", "--kills", 1, "--folder", tmp_path / "kills")
    assert code == 1 and "uninterrupted run" not in err
    assert "did not hold: data: data/test_dev93/spk2gender differs from an uninterrupted run's (killed by " in out
    assert out.splitlines()[2].split("|")[-2].strip() == "0 / 1"
