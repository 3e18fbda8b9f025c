"""One copy of the recipe for all its tests: the later ones go on from what the earlier ones made."""

import pytest
from micro import copy_of_recipe


@pytest.fixture(scope="session")
def recipe(tmp_path_factory):
    """The recipe's directory."""
    return copy_of_recipe(tmp_path_factory.mktemp("kdasr"))
