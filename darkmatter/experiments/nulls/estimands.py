"""What predictions take of the nulls: no torch.

Each interval is at both levels of its rule, counted as the rule counts its components (`joint_levels`). They hold the
noise of contexts alone: each null was drawn, and each SAE trained, from one seed.
"""

from collections.abc import Mapping
from typing import Any

from darkmatter.experiments.nulls.estimates import NullSums, lead, ratio
from darkmatter.experiments.nulls.names import FROZEN_DECODER, GAUSSIAN, RANDOM_MODEL, TRAINED
from darkmatter.params.schema import Params
from darkmatter.statistics.held_out_numbers import Combine, HeldOutNumber
from darkmatter.statistics.joint_levels import at_both
from darkmatter.statistics.sae_estimates import Estimate

Bootstrap = dict[str, Any]
# Estimand → component → (null, number, what is made of it and the trained SAE's; None: the number itself).
WANTED: dict[str, dict[str, tuple[str, str, Combine | None]]] = {
    "gaussian_fvu_lead": {"lead": (GAUSSIAN, "fvu", lead)},
    "gaussian_vector_r2_lead": {"lead": (GAUSSIAN, "vector_r2", lead)},
    "gaussian_fvu_nonlinear_ratio": {"ratio": (GAUSSIAN, "fvu_nonlinear", ratio)},
    "gaussian_norm_r2": {"r2": (GAUSSIAN, "norm_r2", None)},
    "frozen_decoder_r2": {
        "vector_r2": (FROZEN_DECODER, "vector_r2", None),
        "norm_r2_lead": (FROZEN_DECODER, "norm_r2", lead),
    },
    "random_model_vector_r2": {"r2": (RANDOM_MODEL, "vector_r2", None)},
}


def estimands(sums: Mapping[str, NullSums], params: Params, split: str, convention: str) -> dict[str, Any]:
    """Estimand → component → estimates, one for each SAE.

    Args:
        sums: of the trained SAEs, and of each null.
    """
    own, saes = params.decomposition.bootstrap.model_dump(), params.nulls.saes

    def made(null: str, name: str, combine: Combine | None, sae: str, bootstrap: Bootstrap) -> Estimate:
        def number(of: str) -> HeldOutNumber:
            found: HeldOutNumber = sums[of].numbers(sae, split, convention, bootstrap)[name]
            return found

        return number(null).estimate() if combine is None else number(null).against(number(TRAINED), combine)

    def each(components: Mapping[str, tuple[str, str, Combine | None]]) -> dict[str, list[Estimate]]:
        def at(bootstrap: Bootstrap) -> dict[str, list[Estimate]]:
            return {name: [made(*wanted, sae, bootstrap) for sae in saes] for name, wanted in components.items()}

        result = at_both(at, own, max(1, len(components) * len(saes)))
        return {
            name: [{"sae": sae} | one for sae, one in zip(saes, estimates, strict=True)]
            for name, estimates in result.items()
        }

    return {name: each(components) for name, components in WANTED.items()} if saes else {}
