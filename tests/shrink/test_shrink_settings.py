"""Options of `kdasr shrink` that do not go together, and numbers of parameters."""

from pathlib import Path

import pytest

from kdasr.errors import UserError
from kdasr.shrink.settings import Shrinking, number


@pytest.mark.parametrize(
    ("text", "value"), [("200000", 200_000), ("200k", 200_000), ("1.5M", 1_500_000), ("0.25m", 250_000), ("7K", 7000)]
)
def test_numbers_of_parameters(text, value):
    assert number(text) == value


@pytest.mark.parametrize("text", ["", "k", "-5", "1e6", "200 k", "200kb", "nan", "½"])
def test_what_is_no_number_of_parameters(text):
    with pytest.raises(UserError, match=r"expected a number of parameters, as 200000, 200k or 1\.5M"):
        number(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "no size is given; give one of --params 200k, --like CONFIG and --by rank --energy 0.9"),
        ({"params": 5, "like": Path("a")}, "--params and --like are both given"),
        ({"params": 5, "energy": 0.5, "by": "rank"}, "--params and --energy are both given"),
        ({"params": 0}, "--params 0: expected a number of parameters above 0"),
        ({"energy": 0.5}, "--energy 0.5: belongs to --by rank; for --by units give --params"),
        ({"energy": 0.0, "by": "rank"}, "--energy 0.0: expected a share above 0"),
        ({"energy": 1.1, "by": "rank"}, "--energy 1.1: expected a share above 0"),
        ({"energy": float("nan"), "by": "rank"}, "--energy nan: expected a share above 0"),
        ({"params": 5, "utterances": 0}, "--utterances 0: expected 1 or more"),
    ],
)
def test_bad_sizes_are_refused(given, said):
    with pytest.raises(UserError) as error:
        Shrinking(Path("m"), Path("o"), **given)
    assert said in str(error.value)
