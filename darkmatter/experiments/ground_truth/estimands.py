"""What predictions take of the synthetic SAEs: no torch.

Each interval is at both levels of its rule, counted as the rule counts its components (`joint_levels`). They hold the
noise of contexts alone: the world was drawn, and each SAE trained, from one seed.
"""

from collections.abc import Callable, Mapping
from typing import Any

from darkmatter.experiments.ground_truth.estimates import LINEAR, NONLINEAR, Products, SaeSums, across
from darkmatter.experiments.ground_truth.names import OWN
from darkmatter.params.schema import Params
from darkmatter.statistics.bootstrap import Statistic, Weights
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.joint_levels import at_both
from darkmatter.statistics.sae_estimates import Sums


def absent_and_dense_in_linear(products: Products) -> Statistic:
    introduced = products.share("introduced", LINEAR)
    return lambda weights: 1 - introduced(weights)


def introduced_in_nonlinear(products: Products) -> Statistic:
    return products.share("introduced", NONLINEAR)


def absent_linearity_lead(products: Products) -> Statistic:
    """How much more of the absent features is linear in x than their share of x."""
    linearity, size = products.linearity("absent"), products.size("absent")
    return lambda weights: linearity(weights) - size(weights)


def linear_part(products: Products) -> Statistic:
    """FVU − FVU_nonlinear: what the paper takes for absent features and Dense."""
    fvu, nonlinear = products.fvu(), products.fvu_nonlinear()
    return lambda weights: fvu(weights) - nonlinear(weights)


def across_saes(saes: list[Products]) -> dict[str, Statistic]:
    """What the two parts of FVU say of SAEs: with the truth that each stands for, and which truth the second fits."""
    linear = across(saes, linear_part, lambda products: products.size("absent", "dense"))
    own = across(saes, Products.fvu_nonlinear, lambda products: products.size("introduced"))
    other = across(saes, Products.fvu_nonlinear, lambda products: products.size("absent", "dense"))

    def specific(weights: Weights) -> Any:
        return own(weights) - other(weights)

    return {"linear": linear, "nonlinear": own, "specific": specific}


# Estimand → component → number of one SAE. Of absent features only the SAEs that have fewer latents than features.
OF_EACH: dict[str, dict[str, Callable[[Products], Statistic]]] = {
    "absent_and_dense_in_linear": {"share": absent_and_dense_in_linear},
    "introduced_in_nonlinear": {"share": introduced_in_nonlinear},
    "absent_linearity_lead": {"lead": absent_linearity_lead},
}
NARROWER = {"absent_linearity_lead"}
RECOVERED, ACROSS = "features_in_pursuit_gain", "parts_across_saes"
WANTED = (*OF_EACH, RECOVERED, ACROSS)


def estimands(arrays: Mapping[str, Sums], params: Params) -> dict[str, Any]:
    """Estimand → component → estimate, or a list of one for each SAE.

    Args:
        arrays: name of an SAE → its stored sums.
    """
    own, bootstrap = params.ground_truth, params.decomposition.bootstrap.model_dump()
    saes = own.saes
    if not saes:
        return {}

    def each(name: str, number: Callable[[Products], Statistic]) -> list[dict[str, Any]]:
        chosen = [sae for sae in saes if name not in NARROWER or sae.d_sae < own.world.features]

        def at(level: dict[str, Any]) -> list[Estimate]:
            made = [SaeSums.of(arrays[sae.name], level) for sae in chosen]
            return [sums.estimate(number(sums.products(OWN, own.cosine))) for sums in made]

        estimates = at_both(at, bootstrap, max(1, len(chosen)))
        return [{"sae": sae.name} | one for sae, one in zip(chosen, estimates, strict=True)]

    def named(statistics: Mapping[str, Statistic], counted: int) -> dict[str, Any]:
        def at(level: dict[str, Any]) -> dict[str, Estimate]:
            sums = SaeSums.of(arrays[saes[0].name], level)  # all SAEs are scored on the same rows
            return {name: sums.estimate(statistic) for name, statistic in statistics.items()}

        return at_both(at, bootstrap, counted)

    first = [sae.name for sae in saes if (sae.architecture, sae.seed) == (own.architectures[0], own.seeds[0])]
    sums = {sae.name: SaeSums.of(arrays[sae.name], bootstrap) for sae in saes}
    ends = {"narrow": sums[first[0]], "wide": sums[first[-1]]}
    gains = {end: of_sae.gain(own.cosine).share("introduced") for end, of_sae in ends.items()}
    result: dict[str, Any] = {
        name: {component: each(name, number) for component, number in components.items()}
        for name, components in OF_EACH.items()
    }
    result[RECOVERED] = named(gains, len(gains))
    correlations = across_saes([of_sae.products(OWN, own.cosine) for of_sae in sums.values()])
    return result | {ACROSS: named(correlations, len(correlations))}
