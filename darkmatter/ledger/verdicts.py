"""From a rule and the components it judges to a verdict.

    reproduced                    every component lies inside its region
    differs, paper-inconsistent   some component lies wholly outside its region (which of the two, the rule says)
    inconclusive                  anything else
    not-testable-in-this-profile  another model, other SAEs, or no results

Only a profile of a model in the claim's scope, with that model's published SAEs, says one of the first three of a claim
that needs a model. Any other fills a second column, `analogue`: agrees, disagrees, inconclusive, none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from darkmatter.ledger.claims import EXACT_KINDS, Claim
from darkmatter.ledger.rules import Region, Rule
from darkmatter.params.schema import Params
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.rounding import less, same

Outcome = Literal["agrees", "disagrees", "inconclusive"]
Verdict = Literal["reproduced", "differs", "inconclusive", "not-testable-in-this-profile", "paper-inconsistent"]
Analogue = Literal["agrees", "disagrees", "inconclusive", "none"]
Place = Literal["inside", "outside", "across", "null"]

NOT_TESTABLE: Verdict = "not-testable-in-this-profile"
VERDICTS: tuple[Verdict, ...] = ("reproduced", "differs", "paper-inconsistent", "inconclusive", NOT_TESTABLE)
ANALOGUES: tuple[Analogue, ...] = ("agrees", "disagrees", "inconclusive", "none")
PAPER_MODELS = {  # as the scopes of claims.yaml name them → where they are from, and how releases of their SAEs begin
    "gemma-2-2b": ("google/gemma-2-2b", "gemma-scope-2b-pt-"),
    "gemma-2-9b": ("google/gemma-2-9b", "gemma-scope-9b-pt-"),
    "llama-3.1-8b": ("meta-llama/Llama-3.1-8B", "llama_scope_lx"),
}
APPENDIX_D = {"features": 100_000, "d_model": 4_000, "expected_l0": 100}  # the size of the paper's random features


@dataclass(frozen=True)
class Subject:
    """What a profile's results are about.

    Attributes:
        label: of the model, for people.
        model: its name in claims.yaml; None where it is none of the paper's.
        hookpoints: those with results.
        published_saes: whether every SAE is of those that the paper takes for that model.
        language_model: whether a language model judges latents, and not the offline surrogate.
        random_features: whether appendix D is run at the paper's size.
    """

    label: str
    model: str | None
    hookpoints: frozenset[str]
    published_saes: bool
    language_model: bool
    random_features: bool


def subject_of(params: Params) -> Subject:
    """A label alone makes no model of the paper's; one SAE of one's own makes the profile another subject."""
    label, source = params.model.label, params.model
    repo, releases = PAPER_MODELS.get(label, (None, None))
    model = label if repo and source.source == "huggingface" and source.repo == repo else None
    if repo and model is None:
        label += " of another source"
    size = params.random_features.model_dump()
    at_size = all(size[key] == value for key, value in APPENDIX_D.items())
    published = model is not None and all((spec.reference or "").startswith(releases) for spec in params.sae_specs())
    judge = params.interpretability.endpoint is not None
    return Subject(label, model, frozenset(params.hookpoints), published, judge, at_size)


def out_of_scope(claim: Claim, subject: Subject) -> str | None:
    """Why the subject can say nothing final about the claim; None where it can."""
    if claim.kind in EXACT_KINDS:
        return None
    models = claim.scope.models
    if not models:
        return None if subject.random_features else f"the claim is about other sizes ({claim.scope.saes})"
    if subject.model not in models:
        return f"the claim is about {', '.join(models)}; this profile has {subject.label}"
    if not subject.published_saes:
        return f"the claim is about published SAEs ({claim.scope.saes}); this profile has others"
    if claim.experiment == "interpretability" and not subject.language_model:
        return "the claim needs a language model as judge; here the offline surrogate judged"
    wanted = [hookpoint for hookpoint in models[subject.model] if hookpoint != "all"]
    if lacking := [hookpoint for hookpoint in wanted if hookpoint not in subject.hookpoints]:
        return f"the claim is about {lacking[0]}, which this profile does not extract"
    return None


def place(estimate: Estimate, region: Region, jointly: bool = False) -> Place:
    """Where an interval lies. A sign is established only where zero is excluded; no interval, no certainty.

    An end that differs from a bound by rounding stands on it. Outside is what the interval at the joint level shows,
    where the estimate has one (`joint`); with `jointly` so is inside.
    `short`: the interval lacks what the claim needs of it, so it establishes nothing.
    """
    wide = estimate.get("joint", estimate)
    inner = wide if jointly else estimate
    low, high = inner["low"], inner["high"]
    if estimate["value"] is None:
        return "null"
    if low is None or high is None or "short" in estimate:
        return "across"
    below = region.low is not None and less(low, region.low)
    above = region.high is not None and less(region.high, high)
    if region.is_sign:
        below = below or (region.low is not None and same(low, region.low))
        above = above or (region.high is not None and same(high, region.high))
    if not below and not above:
        return "inside"
    return "outside" if beyond(wide, region) else "across"


def beyond(ends: Mapping[str, Any], region: Region) -> bool:
    """Whether an interval lies wholly outside a region; one without ends does not."""
    low, high = ends["low"], ends["high"]
    if low is None or high is None:
        return False
    too_low = region.low is not None and less(high, region.low)
    return too_low or (region.high is not None and less(region.high, low))


def readings_of(regions: Mapping[str, Region]) -> dict[str, None]:
    """The ways in which a claim may be read, in order."""
    return dict.fromkeys(region.reading for region in regions.values() if region.reading)


def outcome(regions: Mapping[str, Region], components: Mapping[str, Sequence[Estimate]]) -> Outcome:
    """The test `inside`; its three outcomes stand under `tests` in claims.yaml.

    A claim with several readings agrees where one of them does, and disagrees only where all of them do.
    """
    readings = readings_of(regions) or {None: None}
    result = {
        all_inside(
            {name: region for name, region in regions.items() if region.reading in (None, reading)},
            components,
            jointly=len(readings) > 1,  # two ways to agree are two chances to err
        )
        for reading in readings
    }
    if "agrees" in result:
        return "agrees"
    return "disagrees" if result == {"disagrees"} else "inconclusive"


def all_inside(regions: Mapping[str, Region], components: Mapping[str, Sequence[Estimate]], jointly: bool) -> Outcome:
    """The outcome of one reading."""
    places: list[Place] = []
    for name, region in regions.items():
        result = [place(estimate, region, jointly) for estimate in components.get(name, [])] or ["null"]
        places += [one for one in result if not (one == "null" and region.may_be_null)]
    if not places or "null" in places:
        return "inconclusive"
    if "outside" in places:
        return "disagrees"
    return "agrees" if set(places) == {"inside"} else "inconclusive"


def component_outcomes(
    regions: Mapping[str, Region], components: Mapping[str, Sequence[Estimate]]
) -> dict[str, Outcome | None]:
    """What the rule makes of each component that it judges, taken alone.

    What lies outside does so at the level of the whole claim. None where a component has only nulls that the
    rule leaves out.
    """

    def left_out(name: str, region: Region) -> bool:
        return region.may_be_null and all(estimate["value"] is None for estimate in components.get(name, []))

    return {
        name: None if left_out(name, region) else outcome({name: region}, components)
        for name, region in regions.items()
    }


def said(verdict: str, analogue: str) -> str:
    """The one word that tells what became of a claim or component: its analogue where the verdict is not testable."""
    return analogue if verdict == NOT_TESTABLE else verdict


def regions_of(claim: Claim, subject: Subject) -> dict[str, Region]:
    """What this subject is judged by: the real regions in the claim's scope, those of the analogue beyond it."""
    return claim.rule.real if out_of_scope(claim, subject) is None else claim.rule.analogue or {}


def conclude(claim: Claim, subject: Subject, result: Outcome | None) -> tuple[Verdict, Analogue]:
    """Verdict and analogue.

    Args:
        result: outcome under `regions_of`; None where the profile has nothing to judge.
    """
    if result is None:
        return NOT_TESTABLE, "none"
    if out_of_scope(claim, subject) is not None:
        return NOT_TESTABLE, result if claim.rule.analogue else "none"
    return verdict_of(claim.rule, result), "none"


def verdict_of(rule: Rule, result: Outcome) -> Verdict:
    """The real verdict of an outcome."""
    verdict: dict[Outcome, Verdict] = {
        "agrees": "reproduced",
        "disagrees": rule.otherwise,
        "inconclusive": "inconclusive",
    }
    return verdict[result]
