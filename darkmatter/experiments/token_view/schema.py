"""What reports/PROFILE/results/token_view.json holds."""

from typing_extensions import TypedDict


class ShownContext(TypedDict):
    """Tokens of one context, with squared norms of x, the error and its parts."""

    context: int
    document: str
    domain: str
    first_position: int
    token_ids: list[int]
    text: list[str]
    x_sq: list[float]
    error_sq: list[float]
    linear_sq: list[float]
    nonlinear_sq: list[float]


class TokenViewContent(TypedDict):
    """Some contexts with one SAE; no SAE where the profile has no series of widths."""

    hookpoint: str
    sae: str | None
    d_sae: int | None
    k: int | None
    contexts: list[ShownContext]
