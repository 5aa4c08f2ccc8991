"""Are the published SAEs of the parameters pinned and listed, and what the parameters say? Nothing is fetched."""

from collections.abc import Mapping
from typing import Any

from darkmatter.params.saes import SaeSpec
from darkmatter.params.schema import Params
from darkmatter.planning.finding import Finding
from darkmatter.saes.published.pins import references
from darkmatter.storage.artifacts import ArtifactError, read_json
from darkmatter.storage.paths import MANIFESTS


def saes(params: Params) -> list[Finding]:
    """The first SAE that the stage `saes` would refuse by its name alone, hours after the run began."""
    named = [spec for spec in params.sae_specs() if spec.reference]
    if not named:
        return []
    manifest = params.saes.published.manifest
    entries = read_json(MANIFESTS / f"{manifest}.json")["saes"] if manifest else []
    listed = {name: entry for entry in entries for name in references(entry)}
    problems = (problem_of(spec, manifest, listed) for spec in named)
    if problem := next(filter(None, problems), None):
        return [Finding("saes", False, problem, f"darkmatter params --profile {params.profile}  # once conf/ is fixed")]
    return [Finding("saes", True, f"{len(named)} published ones, each a folder here or pinned")]


def problem_of(spec: SaeSpec, manifest: str | None, listed: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What is wrong with the reference of a published SAE; None: nothing.

    Args:
        listed: by each of its names, an entry of the manifest.
    """
    from darkmatter.saes.published.adopt import check_pinned, pins_itself

    if pins_itself(spec.reference):
        return None
    try:
        check_pinned(spec.reference, manifest)
    except ArtifactError as error:
        return str(error)
    if spec.reference not in listed:
        return (
            f"saes.published: {spec.reference} is no folder here, and conf/manifests/{manifest}.json does not list it"
        )
    entry = listed[spec.reference]
    for name, key in (("hookpoint", "hookpoint"), ("d_sae", "width"), ("architecture", "architecture")):
        if entry[key] != (said := getattr(spec, name)):
            return f"saes.published: {spec.reference} has {name} {entry[key]}, the parameters say {said}"
    return None
