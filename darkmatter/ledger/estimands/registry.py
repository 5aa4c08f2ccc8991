"""Every estimand that claims.yaml may name."""

import functools
from collections.abc import Callable

from darkmatter.experiments.registry import records
from darkmatter.ledger.estimands import (
    algebra,
    breakdown_trends,
    counts,
    extrapolation,
    judged_grid,
    judging,
    noise_conditions,
    norm_tests,
    norms,
    reductions,
    vectors,
)
from darkmatter.ledger.estimands.evidence import Evidence, Variant
from darkmatter.ledger.estimands.experiments import of_experiment
from darkmatter.ledger.estimands.quantities import Components
from darkmatter.storage.artifacts import ArtifactError

Estimand = Callable[[Evidence, Variant], Components]

# What the ledger makes itself; what an experiment has made is in its record.
ESTIMANDS: dict[str, Estimand] = {
    "norm_r2_of_every_sae": norms.norm_r2_of_every_sae,
    "norm_r2_slopes": norms.norm_r2_slopes,
    "norm_r2_over_layers": norms.norm_r2_over_layers,
    "vector_r2_of_every_sae": vectors.vector_r2_of_every_sae,
    "norm_r2_minus_vector_r2": vectors.norm_r2_minus_vector_r2,
    "vector_r2_slopes": vectors.vector_r2_slopes,
    "opposite_l0_slopes": vectors.opposite_l0_slopes,
    "norm_shrinkage": norms.norm_shrinkage,
    "linear_error_cosine": norms.linear_error_cosine,
    "fvu_nonlinear_width_slope": breakdown_trends.fvu_nonlinear_width_slope,
    "fvu_nonlinear_l0_slope": breakdown_trends.fvu_nonlinear_l0_slope,
    "fvu_nonlinear_width_slope_elsewhere": breakdown_trends.fvu_nonlinear_width_slope_elsewhere,
    "asymptote_minus_nonlinear": breakdown_trends.asymptote_minus_nonlinear,
    "extrapolated_asymptote_minus_nonlinear": extrapolation.extrapolated_asymptote_minus_nonlinear,
    "norm_test_order": norms.norm_test_order,
    "norm_r2_over_enough_layers": norms.norm_r2_over_enough_layers,
    "norm_r2_slopes_of_sparse": judged_grid.norm_r2_slopes_of_sparse,
    "opposite_l0_slopes_of_sparse": judged_grid.opposite_l0_slopes_of_sparse,
    "norm_test_of_x": norm_tests.norm_test_of_x,
    "norm_test_leads": norm_tests.norm_test_leads,
    "fvu_nonlinear_width_slope_of_layers": breakdown_trends.fvu_nonlinear_width_slope_of_layers,
    "breakdown_slopes": breakdown_trends.breakdown_slopes,
    "reduction_lead": reductions.reduction_lead,
    "reduction_lead_of_one_measure": reductions.reduction_lead_of_one_measure,
    "reduction_lead_of_one_measure_with_seed": functools.partial(reductions.reduction_lead_of_one_measure, seed=True),
    "reduction_lead_of_same_saes": reductions.reduction_lead_of_same_saes,
    "dense_where_recovered": noise_conditions.dense_where_recovered,
    "nonlinear_where_introduced": noise_conditions.nonlinear_where_introduced,
    "judged_interpretability": judging.judged_interpretability,
    "lemma_bernoulli": algebra.of_lemma("bernoulli", algebra.derived("rho")),
    "lemma_poisson": algebra.of_lemma("poisson-lambda-one", algebra.derived("rho")),
    "lemma_poisson_printed": algebra.of_lemma("poisson-printed-variance", algebra.printed_formula),
    "lemma_paper_step": algebra.of_lemma("paper-step", algebra.excess),
    "lemma_sparse_exponential": algebra.of_lemma("sparse-exponential", algebra.derived("r2")),
    "row_count": counts.row_count,
    "sae_count": counts.sae_count,
}


@functools.cache
def estimands() -> dict[str, Estimand]:
    """Name → function, of the ledger's own and of every experiment's."""
    return ESTIMANDS | {
        name: of_experiment(record.name, own, seed)
        for record in records().values()
        for name, (own, seed) in record.offered.items()
    }


def estimand(name: str) -> Estimand:
    """The function of that name.

    Raises:
        ArtifactError: there is none.
    """
    if name not in estimands():
        known = ", ".join(sorted(estimands()))
        raise ArtifactError(f"claims.yaml names the estimand {name!r}, which nothing computes; known: {known}")
    return estimands()[name]
