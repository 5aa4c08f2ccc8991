"""The SAEs of a list in conf/manifests/ as the parameters of a profile: conf/saes/NAME.yaml.

Each SAE stands in one group, by the first of these that it is:

    parents     attention and MLP SAEs at the main layer (Eq. 16)
    widths      the main layer, L0 nearest to the target at its width (Figs. 1, 4, 5, 12, 9a)
    sparsity    the rest of the main layer (with `widths`: Fig. 2)
    layers      other layers, L0 nearest to the target (with `widths`: Figs. 3, 6, 13)
    appendix    the rest of the appendix layers (with `layers`: Figs. 10, 11)
    layers-50   other layers, L0 nearest to 50 where that is another SAE

`k` of a group is the L0 that its members were chosen to be nearest to.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from darkmatter.params.saes import GATE_CONTEXTS
from darkmatter.saes.published.pins import references
from darkmatter.storage.artifacts import ArtifactError

TARGET, SECOND_TARGET = 60, 50
PARENTS = ("fig9b", "parents")
Groups = dict[str, tuple[int | None, list[str]]]  # of each its k, and its members as the parameters name them
ORDER = ("widths", "sparsity", "layers", "layers-50", "appendix", "parents")

HEADER = """# @package _global_
# Generated from conf/manifests/{name}.json by `python -m darkmatter.saes.published.manifests`; not edited by hand.
# `k`: {k}. `l0`: the published one of each.
"""
CHOSEN = "the L0 that the SAEs of a group were chosen to be nearest to"


def profile_text(name: str, manifest: Mapping[str, Any], main: int) -> str:
    """Content of conf/saes/NAME.yaml.

    Args:
        main: layer of the main hookpoint.
    """
    groups: dict[str, tuple[int | None, dict[tuple, str]]] = {}
    hookpoints = set()
    for sae in manifest["saes"]:
        if (result := group_of(sae, main)) is None:
            continue
        group, k = result
        members = groups.setdefault(group, (k, {}))[1]
        place = (sae["hookpoint"], sae["width"], sae["nominal_l0"])
        if any(place in others for _, others in groups.values()):
            continue  # Gemma Scope 2 has the same layer, width and L0 in two releases: the first listed stands for both
        members[place] = member_text(sae)
        hookpoints.add(sae["hookpoint"])
    return rendered(
        name,
        hookpoints,
        {group: (groups[group][0], [*groups[group][1].values()]) for group in sorted(groups, key=ORDER.index)},
    )


def member_text(sae: Mapping[str, Any]) -> str:
    """One SAE as the parameters name it."""
    l0 = "null" if sae["nominal_l0"] is None else f"{sae['nominal_l0']:g}"
    other = "" if sae["architecture"] == "jumprelu" else f", architecture: {sae['architecture']}"
    return f"{{sae: {reference(sae)}, hookpoint: {sae['hookpoint']}, d_sae: {sae['width']}, l0: {l0}{other}}}"


def reference(sae: Mapping[str, Any]) -> str:
    """`release/id`; of a repository that stands for its release, `org/repo:folder`."""
    by_release, by_repository = references(sae)
    return by_repository if sae["release"] == sae["repo"] else by_release


def rendered(name: str, hookpoints: Iterable[str], groups: Groups, meant: str = CHOSEN) -> str:
    """Content of conf/saes/NAME.yaml; `meant`: by the k of a group."""
    lines = [HEADER.format(name=name, k=meant) + "hookpoints:"]
    lines += [f"  {point}: {{train_contexts: {GATE_CONTEXTS}}}" for point in sorted(hookpoints, key=by_kind_and_layer)]
    lines += ["", "saes:", "  published:", f"    manifest: {name}", "    groups:"]
    for group, (k, members) in groups.items():
        lines += [f"      {group}:", f"        k: {'null' if k is None else k}", "        saes:"]
        lines += [f"          - {member}" for member in members]
    return "\n".join(lines) + "\n"


def group_of(sae: Mapping[str, Any], main: int) -> tuple[str, int | None] | None:
    """Group and target L0 of an entry; None for parents of another layer than the main one.

    Raises:
        ArtifactError: no rule knows its roles.
    """
    roles, at_main = set(sae["roles"]), sae["layer"] == main
    if roles & {*PARENTS}:
        return ("parents", TARGET) if at_main else None
    if "llama" in roles:
        return "widths" if at_main else "layers", int(sae["nominal_l0"])
    if "near60" in roles:
        return "widths" if at_main else "layers", TARGET
    if "fig2" in roles:
        return "sparsity", None
    if "figA" in roles:
        return "appendix", None
    if "near50" in roles:
        return "layers-50", SECOND_TARGET
    raise ArtifactError(f"{sae['release']}/{sae['id']}: no group for the roles {', '.join(sae['roles'])}")


def by_kind_and_layer(hookpoint: str) -> tuple[bool, str, int]:
    kind, _, layer = hookpoint.partition(".")
    return kind != "resid_post", kind, int(layer)
