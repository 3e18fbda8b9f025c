"""Whether a student's frames can be matched with its teacher's is told before anything runs."""

import pytest
import yaml
from scripts import kd_options, write_model

from kdasr.errors import UserError
from kdasr.recipe import kd

CONFORMER = {"encoder": "conformer", "encoder_conf": {"input_layer": "conv2d"}}
STOCK = {**CONFORMER, "frontend": "default", "frontend_conf": {"hop_length": 160}, "input_size": None}
OTHER = {"encoder": "whisper", "encoder_conf": {"whisper_model": "tiny"}}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A function that plans students by `word_ctc`, or another recipe, with these configurations."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()

    def made(teacher, student, **given):
        write_model(tmp_path / "model", **teacher)
        for name, config in (("teacher", teacher), ("student", student)):
            (tmp_path / f"conf/{name}.yaml").write_text(yaml.safe_dump({**config, "input_size": None}))
        return kd.work(kd_options(**{"students": "word_ctc", **given}), "./run.sh")

    return made


@pytest.mark.parametrize("teacher", [CONFORMER, STOCK, {"encoder": "rnn"}, {}])
@pytest.mark.parametrize("student", [CONFORMER, STOCK, {"encoder": "conv_rnn"}, {"encoder": "vgg_rnn"}])
def test_networks_that_fit(plan, teacher, student):
    plan(teacher, student)
    plan(teacher, student, teacher_dir="model", stage="4")


@pytest.mark.parametrize(
    ("teacher", "student", "said"),
    [
        (OTHER, CONFORMER, "kdasr does not know when the frames of encoder whisper are, so that frames of "),
        (CONFORMER, OTHER, "kdasr does not know when the frames of encoder whisper are, so that frames of "),
        ({**STOCK, "frontend": "s3prl"}, CONFORMER, "kdasr does not know when the frames of frontend s3prl are, so"),
        ({**CONFORMER, "model_conf": {"ctc_weight": 0.0}}, CONFORMER, r"the teacher has no CTC branch \(model_conf: "),
    ],
)
def test_networks_that_do_not(plan, teacher, student, said):
    for given in ({}, {"stage": "3"}, {"stage": "4", "stop_stage": "4"}, {"stage": "5"}, {"stop_stage": "3"}):
        with pytest.raises(UserError, match=rf"utils/students/word_ctc\.yaml: distillation: ctc_word_weight: {said}"):
            plan(teacher, student, **given)
    with pytest.raises(UserError, match=r"frames of model/config\.yaml and conf/student\.yaml cannot be matched; take"):
        plan(teacher, student, teacher_dir="model", stage="4")
    plan(teacher, student, students="word refs")  # which learn from no frames
    plan(teacher, student, stage="10")  # what is there already may be reported
    plan(teacher, student, stage="1", stop_stage="2")


def test_one_network_fits_itself_whatever_it_is(plan):
    plan(OTHER, OTHER)
    with pytest.raises(UserError, match="encoder whisper"):
        plan(OTHER, {**OTHER, "encoder_conf": {"whisper_model": "small"}})


def test_a_configuration_that_is_not_there_is_named_by_its_stage(plan, tmp_path):
    plan(OTHER, CONFORMER, teacher_config="conf/gone.yaml")
    recipe = {
        "label": "x",
        "learns_from": "references",
        "distillation": {"ctc_word_weight": 0.5},
        "starts_from": "refs",
    }
    (tmp_path / "conf/students").mkdir()
    (tmp_path / "conf/students/refs_frames.yaml").write_text(yaml.safe_dump(recipe))
    (tmp_path / "conf/tuned.yaml").write_text(yaml.safe_dump(OTHER))
    with pytest.raises(UserError, match=r"frames of conf/teacher\.yaml and conf/tuned\.yaml cannot be matched"):
        plan(CONFORMER, CONFORMER, students="refs_frames", fine_tune_configs="conf/tuned.yaml")
