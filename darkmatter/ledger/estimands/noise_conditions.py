"""Two statements of appendix B.2 that have a condition: judged where it is met, and nothing is judged where it is not.

Both conditions are measured where noise was planted, not taken for granted.
"""

from darkmatter.experiments.synthetic_noise.cells import MARGIN
from darkmatter.ledger.estimands.evidence import Evidence, Missing, Variant
from darkmatter.ledger.estimands.experiments import of_experiment
from darkmatter.ledger.estimands.quantities import Component, Components, Fixed

RECOVERED = 0.9  # of Dense: all of it less the tenth by which the statement itself may miss


def dense_where_recovered(evidence: Evidence, variant: Variant) -> Components:
    """Estimated over planted Dense, "if this linear transform indeed recovers Dense".

    Raises:
        Missing: no linear map of x recovers it.
    """
    result = of_experiment("synthetic_noise", "dense_and_recovered")(evidence, variant)
    share = measured(result["recovered"])
    if share < RECOVERED:
        raise Missing(
            f"the statement's condition is not met: the best linear map of x recovers {share:.0%} of the planted "
            f"Dense, and the statement is about a map that recovers it (here at least {RECOVERED:.0%})"
        )
    return result


def nonlinear_where_introduced(evidence: Evidence, variant: Variant) -> Components:
    """The least of FVU_nonlinear over Introduced, of an SAE that introduces something.

    Raises:
        Missing: it introduces less than the ledger can tell from nothing, in every cell.
    """
    result = of_experiment("synthetic_noise", "least_over_introduced")(evidence, variant)
    most = measured(result["introduced"])
    if most < MARGIN:
        raise Missing(
            f"the statement's condition is not met: at most {most:.2%} of variance is Introduced in any cell, and "
            f"a bound on less than {MARGIN:.0%} could not be failed"
        )
    return result


def measured(component: Component) -> float:
    """The value of a component that must have one.

    Raises:
        Missing: it has no value; the message says why.
    """
    if not isinstance(component, Fixed):
        raise Missing(f"whether the statement's condition is met is not known: {component.reason}")
    return component.estimate["value"]
