"""What the progress bar makes of ESPnet's log lines, and where it says it."""

import logging

import pytest

from kdasr.announce import announce
from kdasr.asr.progress import EpochBar, figure

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


@pytest.mark.parametrize(
    ("first", "done", "total", "elapsed", "left"),
    [(1, 1, 10, 120, 18), (1, 3, 4, 900, 5), (5, 1, 10, 60, 5), (7, 2, 9, 3600, 30), (3, 1, 3, 60, 0)],
)
def test_time_left_is_by_the_epochs_of_this_run(tmp_path, monkeypatch, first, done, total, elapsed, left):
    """In minutes: so many epochs are left, each as long as those since the first of this run took on average."""
    terminal = tmp_path / "terminal"
    terminal.write_text("before\n")
    monkeypatch.setenv("KDASR_PROGRESS", str(terminal))
    log = logging.getLogger()
    log.setLevel(logging.INFO)
    with EpochBar("m") as bar:
        for epoch in range(first, first + done):
            log.info(f"{epoch}/{total}epoch started. Estimated time to finish: 5 minutes")
            if epoch == first + done - 1:
                bar.bar.start_t = bar.bar._time() - elapsed
            log.info(f"{epoch}epoch results: [train] acc=0.1, loss=9, [valid] loss_ctc=4, acc=0.{epoch}, loss=1.5e-05.")
    said = terminal.read_text().splitlines()
    assert said[0] == "before" and len(said) == 1 + done
    last = first + done - 1
    assert said[-1] == f"  m: epoch {last} of {total}, validation acc 0.{last}, loss 1.5e-05, about {left} min left"
    assert bar.bar.n == last and bar.bar.total == total and bar not in log.handlers


def test_lines_of_others_are_passed_over(tmp_path, monkeypatch):
    terminal = tmp_path / "terminal"
    terminal.touch()
    monkeypatch.setenv("KDASR_PROGRESS", str(terminal))
    log = logging.getLogger()
    log.setLevel(logging.INFO)
    with EpochBar("m") as bar:
        log.info("1epoch results: [train] acc=0.1")  # none has started
        log.info("the averaged model was written")
        assert bar.bar is None
    assert terminal.read_text() == ""


def test_a_figure_is_found_by_its_whole_name():
    results = "loss_ctc=1.5, cer_acc=0.1, x_loss=3, acc=0.875, loss=-2.5e-03, time=1 s"
    assert [figure(results, key) for key in ("acc", "loss", "loss_ctc", "time")] == ["0.875", "-2.5e-03", "1.5", "1"]
