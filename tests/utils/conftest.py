import shutil

import pytest
from finished import frames_run, images_run, kd_run, lm_run  # noqa: F401  run once for all tests
from stand_in import kd, lay_out


@pytest.fixture
def recipe(tmp_path):
    """A recipe's directory with stand-ins for the programs that kd.sh calls."""
    return lay_out(tmp_path)


@pytest.fixture(scope="session")
def _run_to_the_end(tmp_path_factory):
    place = lay_out(tmp_path_factory.mktemp("finished"))
    kd(place)
    return place


@pytest.fixture
def finished_recipe(_run_to_the_end, tmp_path):
    """A recipe in which kd.sh has run with its usual options, to be changed."""
    return shutil.copytree(_run_to_the_end, tmp_path / "recipe")
