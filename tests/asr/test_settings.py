"""kd_conf: what it may hold."""

import pytest

from kdasr.asr.settings import Distillation, read_settings
from kdasr.errors import UserError


def test_nothing_given_is_no_distillation():
    assert read_settings(None) == read_settings({}) == Distillation()
    assert not Distillation().soft


def test_values_are_taken():
    conf = {"word_weight": 1, "temperature": 2, "teachers": "exp/t", "ensemble_weights": [1], "mask": None}
    found = read_settings(conf)
    assert found == Distillation(word_weight=1.0, temperature=2.0, teachers=("exp/t",), ensemble_weights=(1,))
    assert found.soft


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"word_wieght": 0.5}, "no setting 'word_wieght'; expected word_weight"),
        ({"word_weight": 1.5}, "word_weight is 1.5, expected a share from 0 to 1"),
        ({"word_weight": "half"}, "word_weight is 'half', expected a number"),
        ({"word_weight": True}, "expected a number"),
        ({"temperature": 0}, "expected a number above 0"),
        ({"divergence": "hellinger"}, "expected one of kl, reverse_kl, js, tv"),
        ({"soft_k": -1}, "expected 0"),
        ({"soft_k": 2.5}, "expected a int"),
        ({"ensemble": "harmonic"}, "expected arithmetic or geometric"),
        ({"teachers": ["a", "b"], "ensemble_weights": [0.5, 0.4]}, "summing to 1"),
        ({"teachers": ["a"], "ensemble_weights": [0.5, 0.5]}, "for each of teachers"),
        ({"ctc_hyps": "first"}, "expected all or best"),
    ],
)
def test_what_is_wrong_is_said(conf, said):
    with pytest.raises(UserError, match="kd_conf") as error:
        read_settings(conf)
    assert said in str(error.value)
