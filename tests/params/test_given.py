"""A parameter that must not be null here is refused by its name."""

import pytest

from darkmatter.params.given import given
from darkmatter.params.types import ParamsError


def test_null_is_refused_by_name() -> None:
    with pytest.raises(ParamsError, match=r"model\.folder is null"):
        given(None, "model.folder")


@pytest.mark.parametrize("value", ["models/own", "", 0, 0.0])
def test_accepted(value: object) -> None:
    assert given(value, "model.folder") == value
