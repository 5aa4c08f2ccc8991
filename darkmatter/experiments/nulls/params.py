"""Options of the stage nulls."""

from darkmatter.params.types import Count, Name, Section


class Nulls(Section):
    """What the nulls are held against, and how many rows are drawn for them.

    Attributes:
        saes: TopK SAEs of the main hookpoint that were trained here; each null has one of the same size, seed and
            budget for each. None: the experiment is off.
        gaussian_contexts: how many contexts of rows are drawn to train on.
        random_model_contexts: train contexts that the model with random weights reads.
        seed: of the Gaussian rows and of the random weights.
    """

    saes: list[Name]
    gaussian_contexts: Count
    random_model_contexts: Count
    seed: int
