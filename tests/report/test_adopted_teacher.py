"""A finished model that `kdasr adopt` has made the teacher has a row in the report, and students their gap to it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import yaml
from report_inputs import make_exp

sys.path.insert(0, str(Path(__file__).parents[1] / "search"))
import search_models as models

from kdasr.cli import main
from kdasr.report import collect
from kdasr.report.compare import against_references, summary_table


def rows(exp):
    every = collect.systems(exp)
    return summary_table(every, against_references(every))


def test_an_adopted_teacher_stands_in_the_report(tmp_path):
    exp = make_exp(tmp_path, 12)
    trained = rows(exp)
    (exp / "teacher/kdasr.json").unlink()
    without = rows(exp)
    assert {row[-1] for row in without[1:]} == {"-"} and len(without) == len(trained) - 1
    network, own = models.build("kdasr"), tmp_path / "mine"
    own.mkdir()
    torch.save(network.state_dict(), own / "valid.acc.ave.pth")
    (own / "config.yaml").write_text(yaml.safe_dump(models.config("kdasr")))
    assert main(["adopt", str(own), "--out", str(exp / "teacher")]) == 0
    assert sorted(path.name for path in own.iterdir()) == ["config.yaml", "valid.acc.ave.pth"]
    adopted = rows(exp)
    sizes = trained[0].index("parameters"), trained[0].index("of teacher")

    def rest(row):
        return [cell for number, cell in enumerate(row) if number not in sizes]

    assert [rest(row) for row in adopted] == [rest(row) for row in trained]  # the rates and the gap are the same
    assert adopted[1][0] == "teacher" and adopted[1][sizes[1]] == "1" and "-" not in adopted[-1]
    weights = json.loads((exp / "teacher/kdasr.json").read_text())["parameters"]
    assert weights == sum(weight.numel() for weight in network.parameters())
    assert main(["report", str(exp), "-o", str(tmp_path / "RESULTS.md")]) == 0
    assert f"\n|teacher|1|{weights:,}|1|" in (tmp_path / "RESULTS.md").read_text()
