import pytest
from finished import frames_run, images_run, kd_run, lm_run  # noqa: F401  run once for all tests
from stand_in import lay_out


@pytest.fixture
def recipe(tmp_path):
    """A recipe's directory with stand-ins for the programs that kd.sh calls."""
    return lay_out(tmp_path)
