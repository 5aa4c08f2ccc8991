"""Parameters that may be null, where they are not: what asks for them has said so."""

from typing import TypeVar

from darkmatter.params.types import ParamsError

T = TypeVar("T")


def given(value: T | None, name: str) -> T:
    """The value.

    Args:
        name: of the parameter, as a run's configuration has it.

    Raises:
        ParamsError: it is null.
    """
    if value is None:
        raise ParamsError(f"{name} is null, and is needed here. Set it in conf/.")
    return value
