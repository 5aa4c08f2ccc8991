"""Whether a judge of latents can be believed, before what it says of them is (section 5.2)."""

from darkmatter.ledger.estimands.evidence import Evidence, Missing, Variant
from darkmatter.ledger.estimands.experiments import of_experiment
from darkmatter.ledger.estimands.quantities import Components

CHANCE = 0.5  # balanced accuracy of one who guesses
PRINTED_LEAD = 0.05  # latents of linear error are "about an absolute 5 % more interpretable"


def judged_interpretability(evidence: Evidence, variant: Variant) -> Components:
    """As `error_sae_interpretability`, of a judge that can tell firing windows from silent ones.

    Two accuracies that are both nearer to chance than the printed difference cannot show that difference.

    Raises:
        Missing: the judge's balanced accuracy is that near to chance on both parts.
    """
    result = of_experiment("interpretability", "error_sae_interpretability")(evidence, variant)
    content = evidence.results.experiments["interpretability"]
    balanced = {name: part["accuracy"]["balanced"]["value"] for name, part in content["parts"].items()}
    if all(value is None or abs(value - CHANCE) < PRINTED_LEAD for value in balanced.values()):
        shown = " and ".join(f"{value:.3f} ({name})" for name, value in balanced.items() if value is not None)
        raise Missing(
            f"the judge ({content['judge']}) tells firing windows from silent ones hardly better than by chance: "
            f"balanced accuracy {shown or 'undefined'}, and a difference of {PRINTED_LEAD:g} is claimed"
        )
    return result
