"""Made-up results of the profile smoke, for every file that draws them."""

import copy

import pytest
from fake_results import fake_results
from profiles import profile_params

from darkmatter.params.schema import Params
from darkmatter.results.load import Results


@pytest.fixture(scope="module")
def params() -> Params:
    return profile_params("smoke")


@pytest.fixture(scope="module")
def made(params: Params) -> Results:
    return fake_results(params)


@pytest.fixture
def results(made: Results) -> Results:
    """To be changed at will."""
    return copy.deepcopy(made)
