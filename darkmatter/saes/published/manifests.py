"""Frozen lists of the SAEs that each profile of published SAEs uses, with the role each plays in the paper's figures.

    python -m darkmatter.saes.published.manifests    # writes conf/manifests/*.json and conf/saes/*.yaml again

Layers, widths and roles follow from the registry by the rules of SUITES; sets of other architectures at one layer are
listed in `layer_sets`. Revisions and SHA-256s are not in it: they are
null until a file is first downloaded, are filled in then (`darkmatter.saes.published.pins`), and stay when the list is
written again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from darkmatter.saes.published.layer_sets import LAYER_SETS, set_manifest, set_profile_text
from darkmatter.saes.published.names import named
from darkmatter.saes.published.pins import listed_entry
from darkmatter.saes.published.profile_lists import profile_text
from darkmatter.saes.published.registry import Listed, saes_of, version
from darkmatter.storage.artifacts import ArtifactError, read_json, write_json, write_text
from darkmatter.storage.paths import MANIFESTS

PROFILES = Path("conf/saes")
TARGETS = {"near60": 60, "near50": 50}
ATTENTION = "attn_z"
T = TypeVar("T")


@dataclass(frozen=True)
class Suite:
    """One model and its residual SAEs.

    Args:
        d_model: width of the residual stream; `d_z` that of the attention heads side by side.
        residual: releases of SAEs on the residual stream; every layer and width of them is swept.
        main: layer of Fig. 2 and its like; `appendix`: layers of Figs. 10 and 11.
        parents: releases of the attention and MLP SAEs of Eq. 16, at the layers `parent_layers`; their role is `fig9b`
            where the paper has them, else `parents`.
    """

    model: str
    d_model: int
    d_z: int
    residual: tuple[str, ...]
    main: int
    appendix: tuple[int, ...] = ()
    parents: tuple[str, ...] = ()
    parent_layers: tuple[int, ...] = ()
    parent_role: str = "fig9b"
    swept_by_l0: bool = True


SUITES = {
    # Fig. 9b is about 9B alone; with parents of their own the other suites have every experiment.
    "gemma-2-2b": Suite(
        "google/gemma-2-2b",
        2304,
        2048,
        ("gemma-scope-2b-pt-res",),
        12,
        (5, 19),
        ("gemma-scope-2b-pt-att", "gemma-scope-2b-pt-mlp"),
        (12,),
        "parents",
    ),
    # The text of section 6.2 takes the parents of layer 19, Eq. 16 and the published code those of layer 20.
    "gemma-2-9b": Suite(
        "google/gemma-2-9b",
        3584,
        4096,
        ("gemma-scope-9b-pt-res",),
        20,
        (9, 31),
        ("gemma-scope-9b-pt-att", "gemma-scope-9b-pt-mlp"),
        (19, 20),
    ),
    # Every SAE of Llama Scope has k = 50 and one of two widths: there is nothing to choose. The paper shows all layers
    # and no main one; 16 of 32 lies where 12 of 26 does.
    "llama-3.1-8b": Suite(
        "meta-llama/Llama-3.1-8B",
        4096,
        4096,
        ("llama_scope_lxr_8x", "llama_scope_lxr_32x"),
        16,
        parents=("llama_scope_lxa_8x", "llama_scope_lxm_8x"),
        parent_layers=(16,),
        parent_role="parents",
        swept_by_l0=False,
    ),
    # Beyond the paper. Layer 9 of 18 lies where layers 12 of 26 and 20 of 42 do. Releases without `-all` have four
    # layers at more widths and sparsities; those with it have every layer at two of each.
    "gemma3-270m": Suite(
        "google/gemma-3-270m",
        640,
        1024,
        ("gemma-scope-2-270m-pt-res", "gemma-scope-2-270m-pt-res-all"),
        9,
        (5, 12, 15),
        ("gemma-scope-2-270m-pt-att", "gemma-scope-2-270m-pt-mlp"),
        (9,),
        "parents",
    ),
}


def suite_manifest(name: str, pinned: dict[str, Any] | None = None) -> dict[str, Any]:
    """The list of one suite.

    Args:
        pinned: an earlier list, whose revisions and SHA-256s are kept.
    """
    suite = SUITES[name]
    chosen = [(sae, roles) for sae, roles in with_roles(suite) if roles]
    kept = {(entry["release"], entry["id"]): entry for entry in (pinned or {"saes": []})["saes"]}
    saes = [entry(suite, sae, roles, kept.get((sae.release, sae.id))) for sae, roles in chosen]
    saes.sort(key=lambda sae: (sae["release"], sae["layer"], sae["width"], sae["nominal_l0"], sae["id"]))
    names = sorted({role for sae in saes for role in sae["roles"]})
    return {
        "suite": name,
        "model": suite.model,
        "registry": f"sae-lens {version()}",
        "counts": {"all": len(saes)} | {role: sum(role in sae["roles"] for sae in saes) for role in names},
        "saes": saes,
    }


def with_roles(suite: Suite) -> list[tuple[Listed, list[str]]]:
    """The suite's residual SAEs and the parents of Fig. 9b, each with its roles (perhaps none)."""
    residual = [sae for release in suite.residual for sae in saes_of(release) if place(sae) is not None]
    if not suite.swept_by_l0:
        return [*((sae, ["llama"]) for sae in residual), *parents_of(suite)]
    nearest = {role: set(nearest_per_layer_and_width(residual, target)) for role, target in TARGETS.items()}
    chosen = []
    for sae in residual:
        layer = place(sae)
        roles = ["fig2"] if layer == suite.main else ["figA"] if layer in suite.appendix else []
        chosen.append((sae, roles + [role for role in TARGETS if sae in nearest[role]]))
    return chosen + parents_of(suite)


def parents_of(suite: Suite) -> list[tuple[Listed, list[str]]]:
    """Of each release and layer the narrowest SAE with L0 nearest to 60."""
    results = []
    for release in suite.parents:
        listed = [sae for sae in saes_of(release) if place(sae) in suite.parent_layers]
        width = min(width_of(sae) for sae in listed)
        narrow = [sae for sae in listed if width_of(sae) == width]
        results += nearest_per_layer_and_width(narrow, TARGETS["near60"])
    return [(sae, [suite.parent_role]) for sae in results]


def place(sae: Listed) -> int | None:
    """The layer; None for what is at no layer, such as SAEs on embeddings."""
    hookpoint = named(sae.repo, sae.folder).hookpoint
    return int(hookpoint.rpartition(".")[2]) if hookpoint else None


def width_of(sae: Listed) -> int:
    return known(named(sae.repo, sae.folder).width, sae, "width")


def known(fact: T | None, sae: Listed, what: str) -> T:
    """A fact that the rules of SUITES need.

    Raises:
        ArtifactError: neither the registry nor a name says it.
    """
    if fact is None:
        raise ArtifactError(f"{sae.release}/{sae.id}: nothing says its {what}, which the rules of suites need")
    return fact


def nearest_per_layer_and_width(saes: Iterable[Listed], target: float) -> list[Listed]:
    """For each layer and width the SAE whose L0 is nearest to `target`; of two as near the sparser."""

    def key(sae: Listed) -> tuple[int, int]:
        return known(place(sae), sae, "layer"), width_of(sae)

    def distance(sae: Listed) -> tuple[float, float]:
        l0 = known(sae.nominal_l0, sae, "L0")
        return abs(l0 - target), l0

    return [min(group, key=distance) for _, group in groupby(sorted(saes, key=key), key=key)]


def entry(suite: Suite, sae: Listed, roles: list[str], kept: Mapping[str, Any] | None) -> dict[str, Any]:
    hookpoint = known(named(sae.repo, sae.folder).hookpoint, sae, "hookpoint")
    d_model = suite.d_z if hookpoint.startswith(ATTENTION) else suite.d_model
    architecture = "jumprelu"  # Gemma Scope was trained so; Llama Scope was converted from TopK when published
    return listed_entry(sae, architecture, hookpoint, d_model, width_of(sae), roles, kept)


def write(folder: Path = MANIFESTS, profiles: Path = PROFILES) -> list[Path]:
    paths = [folder / f"{name}.json" for name in (*SUITES, *LAYER_SETS)]
    for path in paths:
        name, pinned = path.stem, read_json(path) if path.is_file() else None
        if name in SUITES:
            manifest = suite_manifest(name, pinned)
            text = profile_text(name, manifest, SUITES[name].main)
        else:
            manifest = set_manifest(name, pinned)
            text = set_profile_text(name, manifest)
        write_json(path, manifest)
        write_text(profiles / f"{name}.yaml", text)
    return paths


if __name__ == "__main__":
    for path in write():
        print(path, read_json(path)["counts"])
