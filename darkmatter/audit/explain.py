"""One claim, from the sentence in the paper to the hashes of the inputs behind our number."""

from collections.abc import Iterable
from pathlib import Path
from textwrap import shorten
from typing import Any

from darkmatter.audit.command_line import did_you_mean
from darkmatter.audit.lock import LockedStage, read_pipeline
from darkmatter.audit.profiles import chosen
from darkmatter.audit.receipts import Receipts, read_receipts
from darkmatter.audit.rules import earlier_rules
from darkmatter.ledger.claims import CLAIMS, Claim, load_claims, present_hashes
from darkmatter.ledger.estimands.registry import estimand
from darkmatter.report.claims import component, file_of, outcome_words, rule_words
from darkmatter.report.numbers import paper_value
from darkmatter.report.summary import VERDICTS
from darkmatter.report.words import bare_words
from darkmatter.runner.pipeline_file import profile_here, stage_names
from darkmatter.runner.staleness import makers, stages_behind, stale_stages
from darkmatter.storage.artifacts import ArtifactError, read_json
from darkmatter.storage.paths import reports_of

NEEDS_DATA = "   # needs data: make repro"

Content = dict[str, Any]


def explain(identity: str, profile: str | None = None) -> Content:
    """The claim's chain: quote, estimand, rule, result, and every stage behind it, first to last.

    Args:
        profile: whose reports; None: that of params.yaml. Of any other, stages are not held against what is here:
            `darkmatter audit verify` says what has changed since.

    Raises:
        ArtifactError: there is no such claim, or the results do not have it.
    """
    ledger = load_claims(CLAIMS)
    claims = {claim.id: claim for claim in ledger.claims}
    if identity in {erratum.id for erratum in ledger.errata}:
        raise ArtifactError(f"{identity} is an erratum: two passages and no number. It stands in docs/errata.md.")
    if identity in {prediction.id for prediction in ledger.predictions}:
        raise ArtifactError(
            f"{identity} is a prediction of ours and no claim of the paper: {CLAIMS} has its reason and rule, and "
            f"`darkmatter audit derive {identity}` judges it again."
        )
    if identity not in claims:
        hint = did_you_mean(identity, claims) or f"; known: {', '.join(claims)}"
        raise ArtifactError(f"{CLAIMS} has no claim {identity!r}{hint}")
    claim = claims[identity]
    run = chosen(profile, Path())
    path, receipts = reports_of(run).claims, read_receipts(Path(), run)
    content = read_json(path)
    rows = {row["id"]: row for row in content["claims"]}
    if identity not in rows:
        raise ArtifactError(f"{path} does not have {identity!r}. Run `dvc repro claims`.")
    row = rows[identity]
    files = [file_of(name, run) for name in row["results"]]
    behind = stages_behind_results(files, receipts)
    if own := run == profile_here(Path()):
        pipeline, stale = read_pipeline(Path()), stale_stages(receipts, Path())
        chain = [link(stage, receipts.get(stage.name, {}), stale) for stage in pipeline.stages if stage.name in behind]
    else:
        order = stage_names(Path())
        place = {name: number for number, name in enumerate(order)}
        named = sorted(behind, key=lambda name: (place.get(name.partition("@")[0], len(place)), name))
        gaps = {name: None if name in receipts else "has no receipt" for name in named}
        chain = [shown(name, receipts.get(name, {})) | {"stale": gap} for name, gap in gaps.items()]
    words = f" --profile {run}" if profile else ""
    return {
        "claim": {
            "id": claim.id,
            "section": claim.section,
            "quote": claim.quote,
            "reads": claim.reads or claim.quote,
            "locator": claim.locator.model_dump(),
            "paper_value": claim.paper_value,
            "why": claim.why,
        },
        "estimand": {"name": claim.estimand.name, "computes": claim.estimand.computes, "function": where(claim)},
        "rule": {
            "sha256": row["rule_sha256"],
            "is_the_one_in_claims_yaml": row["rule_sha256"] in present_hashes(claim),
            "of_earlier_edition": earlier_rules(ledger).get(identity, {}).get(row["rule_sha256"]),
            "earlier": row["earlier"],
            "regions": row["rule"],
            "words": rule_words(row, bare_words(row)),
        },
        "result": {
            "verdict": "stale" if any(item["stale"] for item in chain) else row["verdict"],
            "analogue": row["analogue"],
            "reason": row["out_of_scope"] or row["reason"],
            "components": row["components"],
            "outcomes": row["outcomes"],
            "flips": row["flips"],
            "files": files,
        },
        "stages": chain,
        "commands": {
            "derive": f"darkmatter audit derive {claim.id}{words}",
            "full": f"darkmatter audit explain --full {claim.id}{words}",
            "rerun": [f"darkmatter audit rerun {item['stage']}" for item in chain if own],
        },
    }


def stages_behind_results(files: Iterable[str], receipts: Receipts) -> set[str]:
    """The stages behind a claim's results files, and the one that judges."""
    behind = {"claims"}
    for maker in makers([name.split("/<")[0] for name in files], receipts):  # a folder, where a file is a hookpoint's
        behind |= stages_behind(maker, receipts)
    return behind


def link(stage: LockedStage, receipt: Content, stale: dict[str, str]) -> Content:
    """One stage: what ran, on what, when, and whether that is still what is here."""
    gap = stale.get(stage.name) or stage.gap or (None if receipt else "has no receipt")
    return shown(stage.name, receipt) | {"command": stage.command, "params": stage.params, "stale": gap}


def shown(name: str, receipt: Content) -> Content:
    """What the receipt of a stage says of it."""
    facts = {key: receipt.get(key) for key in ("command", "revision", "started", "seconds", "machine", "libraries")}
    hashes = {key: receipt.get(key, {}) for key in ("params", "inputs", "outputs", "code")}
    return {"stage": name, **facts, **hashes}


def where(claim: Claim) -> str:
    """Name and module of the function that computes a claim's numbers."""
    function = estimand(claim.estimand.name)
    return f"{function.__qualname__} in {function.__module__}"


def in_brief(content: Content) -> list[str]:
    """What a reader asks first: the rule in words, the paper's value, ours, the outcome, and the command for both."""
    claim, result = content["claim"], content["result"]
    lines = [
        f"{claim['id']} (section {claim['section']} of the paper)",
        f"  says       {claim['reads']}",
        *(f"  rule       {sentence}" for sentence in content["rule"]["words"]),
        f"  paper      {paper_value(claim['paper_value'])}",
        *ours(content),
        f"  outcome    {outcome_line(result)}",
    ]
    return [
        *lines,
        f"  command    {content['commands']['derive']}",
        f"  more       {content['commands']['full']}",
    ]


def outcome_line(result: Content) -> str:
    """Verdict, analogue, and the reason where there is one."""
    reason = f"; {result['reason']}" if result["reason"] else ""
    return f"{VERDICTS[result['verdict']]}; analogue {result['analogue']}{reason}"


def ours(content: Content) -> list[str]:
    """Our number of every component, with its own outcome."""
    result, regions = content["result"], content["rule"]["regions"]
    judged = next((regions[side] for side in ("real", "analogue") if side in regions), {})
    lines = []
    for name, estimates in result["components"].items():
        shown = component(
            name.replace("_", " "), estimates, name in judged, outcome_words(result["outcomes"]).get(name)
        )
        alone = f": {shown['outcome']}" if shown["outcome"] else ""
        sampled = f" ({shown['n']})" if shown["n"] else ""
        lines.append(f"  here       {shown['label']}: {shown['text']}{sampled}{alone}")
    return lines


def as_text(content: Content) -> list[str]:
    """The chain for people; hashes are cut to 12 digits."""
    claim, result, rule = content["claim"], content["result"], content["rule"]
    lines = [
        f"{claim['id']} (section {claim['section']} of the paper)",
        f"  quote      {claim['reads']}",
        f"             {claim['locator']['length']} characters at {claim['locator']['offset']} of the paper's text, "
        f"sha256 {claim['locator']['sha256'][:12]}",
        f"  paper      {paper_value(claim['paper_value'])}",
        f"  estimand   {content['estimand']['computes']}",
        f"             {content['estimand']['function']}",
        f"  rule       {rule['regions']}, sha256 {rule['sha256'][:12]}"
        + ("" if rule["is_the_one_in_claims_yaml"] else ", NOT the one in claims.yaml"),
        *(
            f"  earlier    edition {one['edition']}: {one['rule']}, sha256 {one['rule_sha256'][:12]}: "
            f"verdict {one['verdict']}, analogue {one['analogue']}. {one['why']}"
            for one in rule["earlier"]
        ),
        f"  outcome    {outcome_line(result)}",
    ]
    lines += ours(content)
    lines += [f"  flips      {name}" for name in result["flips"]]
    lines += [f"  from       {name}" for name in result["files"]]
    for item in content["stages"]:
        lines.append(f"  stage      {item['stage']}: {item['command']}")
        lines += [f"               STALE: {item['stale']}"] if item["stale"] else []
        ran = (item["revision"] or "unknown")[:12], item["started"], item["seconds"]
        lines.append("               revision {}, {}, {} s".format(*ran))
        lines += [f"               {key} = {shorten(str(value), 100)}" for key, value in item["params"].items()]
        lines += [f"               in  {path} {sha256[:12]}" for path, sha256 in item["inputs"].items()]
        lines += [f"               out {path} {sha256[:12]}" for path, sha256 in item["outputs"].items()]
    again = [content["commands"]["derive"], *(f"{command}{NEEDS_DATA}" for command in content["commands"]["rerun"])]
    return [*lines, *(f"  again      {command}" for command in again)]
