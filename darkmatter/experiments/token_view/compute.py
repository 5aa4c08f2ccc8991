"""The tokens of a few contexts, each with the squared norms of one SAE's error and its parts, for the report to colour.

Which they are is fixed here and depends on no result: the SAE of the middle width, and the first evaluation contexts,
which are of different domains because domains alternate there. No torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from darkmatter.params.saes import SaeSpec
from darkmatter.params.schema import Params

CONTEXTS = 3
TOKENS = 200  # of each context, from the first decomposed position on
COLUMNS = {  # name in the results → column of the per-token table; parts by the map of the token split
    "x_sq": "x",
    "error_sq": "error",
    "linear_sq": "linear/token",
    "nonlinear_sq": "nonlinear/token",
}


def shown_sae(params: Params) -> SaeSpec | None:
    """The first of middle width in the series of widths at the main hookpoint; None where there is no series."""
    series = [
        spec for spec in params.sae_specs(params.figures.main_hookpoint) if spec.group == params.figures.widths_group
    ]
    series.sort(key=lambda spec: spec.d_sae)
    return series[len(series) // 2] if series else None


def token_view(
    table: Mapping[str, Float[np.ndarray, "context position"]],
    ids: Int[np.ndarray, "context length"],
    first_position: int,
    documents: Sequence[Mapping[str, str]],
) -> list[dict[str, Any]]:
    """The contexts shown, with the squared norms of their tokens.

    Args:
        table: per-token squared norms, its first column at `first_position` of the context.
        ids: token ids of whole contexts.
        documents: `document` and `domain` of each context.
    """
    positions = min(TOKENS, table["error"].shape[1])
    return [
        {
            "context": context,
            "document": documents[context]["document"],
            "domain": documents[context]["domain"],
            "first_position": first_position,
            "token_ids": ids[context, first_position : first_position + positions].tolist(),
        }
        | {name: table[column][context, :positions].tolist() for name, column in COLUMNS.items()}
        for context in range(min(CONTEXTS, len(ids)))
    ]
