"""What the progress bar makes of ESPnet's log lines, and where it says it."""

import logging

from kdasr.asr.progress import EpochBar, announce, figure

RESULTS = "3epoch results: [train] acc=0.5, loss=80.1, time=9 s, [valid] loss_ctc=1.5, acc=0.875, loss=23.25, time=1 s"


def test_figures_are_those_of_validation():
    valid = RESULTS.partition("[valid]")[2]
    assert (figure(valid, "acc"), figure(valid, "loss"), figure(valid, "cer")) == ("0.875", "23.25", "")


def test_a_line_an_epoch_reaches_the_terminal(tmp_path, monkeypatch):
    terminal = tmp_path / "terminal"
    terminal.touch()
    monkeypatch.setenv("KDASR_PROGRESS", str(terminal))
    log = logging.getLogger()
    log.setLevel(logging.INFO)
    with EpochBar("exp/teacher"):
        log.info("3/14epoch started. Estimated time to finish: 5 minutes")
        log.info(RESULTS)
    assert terminal.read_text().startswith("  exp/teacher: epoch 3 of 14, validation acc 0.875, loss 23.25, about ")


def test_no_terminal_no_line(tmp_path, monkeypatch):
    monkeypatch.setenv("KDASR_PROGRESS", str(tmp_path / "gone"))
    announce("nobody listens")
    assert not (tmp_path / "gone").exists()
