"""Parameters of the contexts that text is cut into: what stored activations must not depend on."""

from typing import Annotated

from pydantic import Field

from darkmatter.params.data import Tokens


class TokenWindows(Tokens):
    """How text becomes contexts.

    Attributes:
        windows: contexts that one document gives at most: its first tokens, the next ones, and so on, none twice.
            Train takes all of them; eval takes one of each document, so that its contexts are as many documents.
    """

    windows: Annotated[int, Field(ge=1)] = 1
