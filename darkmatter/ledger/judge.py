"""The rows of claims.json: each claim and prediction with our numbers, and what its rule makes of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from darkmatter.experiments.nulls.names import TRAINED
from darkmatter.ledger.claims import Claim, Ledger, rule_sha256
from darkmatter.ledger.estimands.evidence import (
    OF_CONVENTION,
    OF_ESTIMAND,
    PRIMARY,
    VARIANTS,
    Evidence,
    Missing,
    Variant,
)
from darkmatter.ledger.estimands.experiments import KEYS
from darkmatter.ledger.estimands.quantities import Bootstrap, Component, Null, Quantity
from darkmatter.ledger.estimands.registry import estimand
from darkmatter.ledger.nulls import DECIDED_BY, null_evidence
from darkmatter.ledger.predictions import Prediction, prediction_sha256
from darkmatter.ledger.rules import Earlier, Region
from darkmatter.ledger.verdicts import (
    ANALOGUES,
    VERDICTS,
    Outcome,
    Subject,
    beyond,
    component_outcomes,
    conclude,
    out_of_scope,
    outcome,
    place,
    readings_of,
    regions_of,
)
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.rounding import same

Found = dict[str, list[Estimate]]


def claims_content(ledger: Ledger, evidence: Evidence, subject: Subject) -> dict[str, Any]:
    """Everything that claims.json holds."""
    rows = [claim_row(claim, evidence, subject) for claim in ledger.claims]
    predictions = [prediction_row(prediction, evidence) for prediction in ledger.predictions]
    return summary_of(rows, evidence.params.profile, subject) | {"claims": rows, "predictions": predictions}


def summary_of(rows: Sequence[Mapping[str, Any]], profile: str, subject: Subject) -> dict[str, Any]:
    """What claims.json says of all claims together."""
    verdicts, analogues = (Counter(row.get(key) for row in rows) for key in ("verdict", "analogue"))
    return {
        "profile": profile,
        "model": subject.label,
        "tested": len(rows),
        "verdicts": {name: verdicts[name] for name in VERDICTS},
        "analogues": {name: analogues[name] for name in ANALOGUES},
    }


def claim_row(claim: Claim, evidence: Evidence, subject: Subject) -> dict[str, Any]:
    """One claim.

    Raises:
        ArtifactError: its estimand is unknown, or a results file is not what it should be.
    """
    scope = out_of_scope(claim, subject)
    row = {
        "id": claim.id,
        "section": claim.section,
        "kind": claim.kind,
        "reads": claim.reads or claim.quote,
        "paper_value": claim.paper_value,
        "estimand": claim.estimand.name,
        "computes": claim.estimand.computes,
        "results": claim.estimand.results,
        "conventions": claim.conventions,
        "not_computed": claim.not_computed,
        "rule": claim.rule.model_dump(exclude_defaults=True),
        "rule_sha256": rule_sha256(claim),
        "edition": claim.edition,
        "earlier": [earlier_row(claim, one, evidence, subject) for one in claim.earlier],
        "judged_by": "real" if scope is None else "analogue",
        "out_of_scope": scope,
        "outcomes": {},
        "variants": {},
        "flips": [],
        "judge": None,
        **under_nulls(claim, evidence, subject),
    }
    try:
        result, judged = components(claim, evidence, subject, PRIMARY)
    except Missing as missing:
        verdict, analogue = conclude(claim, subject, None)
        return row | {"components": {}, "verdict": verdict, "analogue": analogue, "reason": str(missing)}
    verdict, analogue = conclude(claim, subject, judged)
    row |= {"components": result, "verdict": verdict, "analogue": analogue}
    row["outcomes"] = concluded(claim, subject, result)
    row["reason"] = why_open(regions_of(claim, subject), result) if judged == "inconclusive" else None
    row["judge"] = evidence.results.experiments.get(claim.experiment, {}).get("judge")
    row["variants"] = other_variants(claim, evidence, subject)
    row["flips"] = [name for name, other in row["variants"].items() if other["outcome"] != judged]
    return row


def prediction_row(prediction: Prediction, evidence: Evidence) -> dict[str, Any]:
    """One prediction.

    Raises:
        ArtifactError: its estimand is unknown, or a results file is not what it should be.
    """
    row = {
        **prediction.model_dump(include={"id", "says", "why", "profiles", "experiment"}),
        "estimand": prediction.estimand.name,
        "computes": prediction.estimand.computes,
        "results": prediction.estimand.results,
        "rule": prediction.rule.model_dump(exclude_defaults=True),
        "sha256": prediction_sha256(prediction),
        "components": {},
        "outcome": None,
        "outcomes": {},
        "reason": None,
    }
    if evidence.params.profile not in prediction.profiles:
        return row | {"reason": f"made for {', '.join(prediction.profiles)}; this profile is {evidence.params.profile}"}
    rule, regions = prediction.rule, prediction.rule.real
    try:
        result, judged = found(prediction.estimand.name, rule.level, regions, evidence, PRIMARY)
    except Missing as missing:
        return row | {"reason": str(missing)}
    why = why_open(regions, result) if judged == "inconclusive" else None
    outcomes = component_outcomes(regions, result)
    return row | {"components": result, "outcome": judged, "outcomes": outcomes, "reason": why}


def earlier_row(claim: Claim, earlier: Earlier, evidence: Evidence, subject: Subject) -> dict[str, Any]:
    """What the rule of an earlier edition makes of the numbers of this run.

    Raises:
        ArtifactError: its estimand is unknown.
    """
    before = claim.as_of(earlier)
    row = {
        "edition": earlier.edition,
        "why": earlier.why,
        "estimand": before.estimand.name,
        "rule": before.rule.model_dump(exclude_defaults=True),
        "rule_sha256": rule_sha256(before),
    }
    try:
        result, judged = components(before, evidence, subject, PRIMARY)
    except Missing as missing:
        verdict, analogue = conclude(before, subject, None)
        return row | {
            "verdict": verdict,
            "analogue": analogue,
            "reason": str(missing),
            "outcomes": {},
            "components": {},
        }
    verdict, analogue = conclude(before, subject, judged)
    return row | {
        "verdict": verdict,
        "analogue": analogue,
        "reason": why_open(regions_of(before, subject), result) if judged == "inconclusive" else None,
        "outcomes": concluded(before, subject, result),
        "components": {name: [ends(estimate) for estimate in estimates] for name, estimates in result.items()},
    }


def concluded(claim: Claim, subject: Subject, result: Found) -> dict[str, dict[str, str]]:
    """Verdict and analogue of each judged component alone."""
    outcomes = component_outcomes(regions_of(claim, subject), result)
    pairs = {name: conclude(claim, subject, one) for name, one in outcomes.items()}
    return {name: {"verdict": verdict, "analogue": analogue} for name, (verdict, analogue) in pairs.items()}


def components(claim: Claim, evidence: Evidence, subject: Subject, variant: Variant) -> tuple[Found, Outcome]:
    """Our numbers, those judged at both levels of the rule (`joint`), and the outcome of the test.

    Raises:
        Missing: the profile lacks what the estimand is made from.
    """
    return found(claim.estimand.name, claim.rule.level, regions_of(claim, subject), evidence, variant)


def found(
    name: str, level: float | None, regions: Mapping[str, Region], evidence: Evidence, variant: Variant
) -> tuple[Found, Outcome]:
    """The numbers of an estimand and what some regions make of them, as `components`."""
    declared = estimand(name)(evidence, variant)
    count = max(sum(counted(declared.get(name), region) for name, region in regions.items()), 1)
    bootstrap: Bootstrap = evidence.params.decomposition.bootstrap.model_dump()
    if level is not None:
        bootstrap["level"] = level
    result = {
        name: [key | quantity.at(bootstrap, count if name in regions else 1) for key, quantity in elements(component)]
        for name, component in declared.items()
    }
    for name, region in regions.items():
        for estimate in result.get(name, []):
            estimate["place"] = place(estimate, region, jointly=len(readings_of(regions)) > 1)
    return result, outcome(regions, result)


def elements(component: Component | None) -> list[tuple[dict[str, Any], Quantity]]:
    match component:
        case None:
            return []
        case list():
            return [(item.key, item.quantity) for item in component]
    return [({}, component)]


def counted(component: Component | None, region: Region) -> int:
    """How many intervals the rule judges here; a null that it leaves out is none."""
    return sum(not (region.may_be_null and isinstance(quantity, Null)) for _, quantity in elements(component))


def why_open(regions: Mapping[str, Region], result: Found) -> str:
    """Which components leave a claim open, and why; components with one reason stand together."""
    reasons: dict[str, list[str]] = {}
    for name, region in regions.items():
        estimates = result.get(name, [])
        open_ones = [(estimate, reason) for estimate in estimates if (reason := open_because(estimate, region))]
        if not estimates and not region.may_be_null:
            open_ones, estimates = [({}, "nothing to judge")], [{}]
        for reason in dict.fromkeys(reason for _, reason in open_ones):
            count = sum(other == reason for _, other in open_ones)
            many = f" ({count} of {len(estimates)})" if len(estimates) > 1 else ""
            reasons.setdefault(reason, []).append(f"{name}{many}")
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())


def open_because(estimate: Estimate, region: Region) -> str | None:
    """Why an estimate establishes nothing; None where it does, or is left out."""
    if estimate["value"] is None:
        return None if region.may_be_null else estimate["reason"]
    if "short" in estimate:
        return estimate["short"]
    if estimate["place"] != "across":
        return None
    if "joint" in estimate and beyond(estimate, region):
        return "its interval lies outside its region alone, but not at the level at which all hold together"
    if place(estimate, region) == "inside":
        return "its interval lies inside its region alone, but not at the level at which all hold together"
    return "the interval reaches beyond its region"


def other_variants(claim: Claim, evidence: Evidence, subject: Subject) -> dict[str, Any]:
    """The same claim under the other split and the other conventions, where the results have them.

    They never change the verdict. Numbers that need no model have no variants, those of OF_CONVENTION only claims that
    list the convention, and those of OF_ESTIMAND only claims that it judges.
    """
    result = {}
    computed = set(claim.conventions) - set(claim.not_computed)
    asked = [*VARIANTS[1:], *(variant for name, variant in OF_CONVENTION.items() if name in computed)]
    asked += [variant for name, variant in OF_ESTIMAND.items() if name == claim.estimand.name]
    for variant in asked if claim.rule.level is not None else ():
        try:
            numbers, judged = components(claim, evidence, subject, variant)
        except Missing:
            continue
        brief = {name: [ends(estimate) for estimate in estimates] for name, estimates in numbers.items()}
        alone = component_outcomes(regions_of(claim, subject), numbers)
        result[str(variant)] = {"outcome": judged, "outcomes": alone, "components": brief}
    return result


def under_nulls(claim: Claim, evidence: Evidence, subject: Subject) -> dict[str, Any]:
    """The same claim on SAEs that learned nothing (`nulls`), and the nulls under which it agrees (`non_diagnostic`).

    A null whose numbers are those of the trained SAEs does not touch what the claim is about, as another decoder leaves
    the norm of x: its agreement says nothing. The trained SAEs of the same sizes stand beside the nulls. Nothing where
    the profile has no nulls, or the claim needs more than they have.
    """
    rows: dict[str, Any] = {}
    for null, own in null_evidence(evidence).items() if claim.experiment == DECIDED_BY else ():
        try:
            numbers, judged = components(claim, own, subject, PRIMARY)
        except Missing:
            continue
        regions = regions_of(claim, subject)
        rows[null] = {
            "outcome": judged,
            "touched": TRAINED not in rows or touched(rows[TRAINED]["components"], numbers, regions),
            "reason": why_open(regions, numbers) if judged == "inconclusive" else None,
            "components": {name: [ends(estimate) for estimate in estimates] for name, estimates in numbers.items()},
        }
    agreeing = [null for null, row in rows.items() if row["outcome"] == "agrees" and row["touched"] and null != TRAINED]
    return {"nulls": rows, "non_diagnostic": agreeing} if rows else {}


def touched(trained: Found, numbers: Found, regions: Mapping[str, Region]) -> bool:
    """Whether the numbers that the rule judges are others than those of the trained SAEs; where there are none, yes."""
    pairs = [
        (one["value"], other["value"])
        for name in regions
        for one, other in zip(trained.get(name, []), numbers.get(name, []), strict=True)
    ]
    known = [pair for pair in pairs if None not in pair]
    return len(known) < len(pairs) or not known or not all(same(*pair) for pair in known)


def ends(estimate: Estimate) -> Estimate:
    return {
        key: estimate[key] for key in ("value", "low", "high", "joint", "reason", "place", *KEYS) if key in estimate
    }
