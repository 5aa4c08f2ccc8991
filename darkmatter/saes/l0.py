"""How far an SAE's L0 here may lie from the one that is said of it: one factor for each thing that may be said."""

PUBLISHED = (
    2.0  # measured on other text by its authors; read wrongly (TopK as ReLU, another scale) it is off by far more
)
AIMED_AT = 4.0  # k of an SAE trained here without TopK: its sparsity loss pulls towards k, and a short run stops before
ON_LIKE_TEXT = (
    2**0.5
)  # published, on text and positions like those of the authors: what is expected, not what is refused


def around(said: float, factor: float) -> tuple[float, float]:
    """The least and the largest L0 within a factor of the one that is said."""
    return said / factor, said * factor
