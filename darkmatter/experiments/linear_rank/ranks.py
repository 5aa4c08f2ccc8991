"""Which ranks are measured. No torch."""

RANK = 24  # of the published bottleneck (arXiv 2606.14040), and of the subspaces that are compared
RANKS = (1, 8, RANK, 64, 128, 256)  # shown, where the model has more dimensions; none and all are shown, too
SPLICED_RANKS = (RANK, 64)  # each is a pass through half of the model for each SAE and context
GROWTH = 1.15  # of one stored rank to the next


def stored_ranks(d_model: int) -> list[int]:
    """The ranks whose sums are stored: none, a growing series with RANKS among it, and all directions."""
    ranks, rank = {0, *RANKS, d_model}, 1.0
    while rank < d_model:
        ranks.add(round(rank))
        rank = max(rank + 1, rank * GROWTH)
    return sorted(rank for rank in ranks if rank <= d_model)


def shown_ranks(d_model: int) -> list[int]:
    return [0, *(rank for rank in RANKS if rank < d_model), d_model]


def spliced_ranks(d_model: int) -> list[int]:
    return [rank for rank in SPLICED_RANKS if rank < d_model]
