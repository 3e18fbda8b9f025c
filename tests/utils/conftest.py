import pytest
from stand_in import lay_out


@pytest.fixture
def recipe(tmp_path):
    """A recipe's directory with stand-ins for the programs that kd.sh calls."""
    return lay_out(tmp_path)
