"""Published SAEs of other architectures at the paper's main layer, resid_post.12 of Gemma 2 2B: two lists of their own.

`gemma-2-2b-sae-lens`: exported by sae-lens. Seven SAEs of one comparison (matching pursuit, BatchTopK, Matryoshka, at
two L0), four that differ in architecture and training tokens (50M, 500M), two of the Matryoshka SAEs of every layer.
`gemma-2-2b-saebench`: SAEBench's, in dictionary_learning's format: ReLU, TopK and Matryoshka BatchTopK, three widths,
six sparsities each.

What sae-lens's registry lists is read from there. The two repositories that it does not list are described here, from
their cards on huggingface.co/ORG/REPO; sae-lens names such SAEs by repository and folder, and so do the lists.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from darkmatter.saes.published.pins import listed_entry
from darkmatter.saes.published.profile_lists import Groups, member_text, rendered
from darkmatter.saes.published.registry import Listed, find, version
from darkmatter.saes.published.weights import Architecture

MODEL, D_MODEL, D_Z, MAIN = "google/gemma-2-2b", 2304, 2048, "resid_post.12"
# Its matching-pursuit/l0-85/runner_cfg.json says 32,768 latents. The comparison is at equal width, so the other six are
# taken to have as many: loading refuses them if they do not.
COMPARISON = "chanind/gemma-2-2b-layer-12-matching-pursuit-comparison"
BASELINES = "chanind-goodfire/baseline-saes"  # k = 100 in training; the card says that L0 at inference can be another
MATRYOSHKA = {
    "matryoshka-750m": "gemma-2-2b-res-matryoshka-dc",
    "matryoshka-snap-750m": "gemma-2-2b-res-snap-matryoshka-dc",
}
AT_MAIN = "blocks.12.hook_resid_post"
PARENTS = {  # of Eq. 16, Gemma Scope's
    "resid_post.11": ("gemma-scope-2b-pt-res", "layer_11/width_16k/average_l0_41"),
    "attn_z.12": ("gemma-scope-2b-pt-att", "layer_12/width_16k/average_l0_41"),
    "mlp_out.12": ("gemma-scope-2b-pt-mlp", "layer_12/width_16k/average_l0_44"),
}
SAEBENCH = {  # group → architecture, and of each width in powers of two the release
    "relu": ("relu", {power: f"sae_bench_gemma-2-2b_vanilla_width-2pow{power}_date-1109" for power in (12, 14, 16)}),
    "topk": ("topk", {power: f"sae_bench_gemma-2-2b_topk_width-2pow{power}_date-1109" for power in (12, 14, 16)}),
    "matryoshka": (
        "jumprelu",
        {
            power: f"saebench_gemma-2-2b_width-2pow{power}_date-{date}"
            for power, date in ((12, "0108"), (14, "0107"), (16, "0107"))
        },
    ),
}
AIMED_AT = "the L0 that training aimed at; that of `parents` they were chosen by"
TRAINERS = range(6)  # of each width; the checkpoints of their training are left out


@dataclass(frozen=True)
class Member:
    """One SAE of a list.

    Args:
        architecture: of the files. BatchTopK and Matryoshka are JumpReLU there: what they are for one row.
        k: L0 that its training aimed at; None: nothing says it.
    """

    group: str
    listed: Listed
    architecture: str
    width: int
    k: int | None = None
    hookpoint: str = MAIN


def unlisted(repo: str, folder: str, nominal_l0: float | None) -> Listed:
    """An SAE in sae-lens's format that its registry does not list."""
    return Listed(repo, folder, repo, folder, None, nominal_l0, None, None)


def of_sae_lens() -> list[Member]:
    compared = [
        Member(group, unlisted(COMPARISON, f"{group}/{name}", l0), architecture, 32768)
        for group, architecture, names in (
            ("batchtopk", "jumprelu", {"l0-85": 85, "l0-265": 265}),
            ("matryoshka", "jumprelu", {"l0-85": 85, "l0-265": 265}),
            ("matching-pursuit", "matching_pursuit", {"l0-85": 85, "l0-265": 265, "static-l0-85": 85}),
        )
        for name, l0 in names.items()
    ]
    baselines = [
        Member(
            f"{kind.partition('-')[0]}-{tokens.lower()}",
            unlisted(BASELINES, f"gemma-2-2b/layer-12/{tokens}/{kind}/width-16384/k100", None),
            "jumprelu",
            16384,
            100,
        )
        for kind in ("batchtopk", "matryoshka-batchtopk")
        for tokens in ("50M", "500M")
    ]
    nested = [Member(group, find(release, AT_MAIN), "jumprelu", 32768, 40) for group, release in MATRYOSHKA.items()]
    return [*compared, *baselines, *nested, *parents()]


def of_saebench() -> list[Member]:
    return [
        Member(f"{kind}-{trainer}", find(release, f"{AT_MAIN}__trainer_{trainer}"), architecture, 1 << power)
        for kind, (architecture, releases) in SAEBENCH.items()
        for trainer in TRAINERS
        for power, release in releases.items()
    ] + parents()


def parents() -> list[Member]:
    return [Member("parents", find(*place), "jumprelu", 16384, 60, hookpoint) for hookpoint, place in PARENTS.items()]


LAYER_SETS = {"gemma-2-2b-sae-lens": of_sae_lens, "gemma-2-2b-saebench": of_saebench}


def set_manifest(name: str, pinned: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The list of one set.

    Args:
        pinned: an earlier list, whose revisions and SHA-256s are kept.
    """
    kept = {(entry["release"], entry["id"]): entry for entry in (pinned or {"saes": []})["saes"]}
    members = LAYER_SETS[name]()
    groups = list(dict.fromkeys(member.group for member in members))
    return {
        "suite": name,
        "model": MODEL,
        "registry": f"sae-lens {version()}",
        "counts": {"all": len(members)} | {group: sum(one.group == group for one in members) for group in groups},
        "saes": [entry(member, kept.get((member.listed.release, member.listed.id))) for member in members],
    }


def entry(member: Member, kept: Mapping[str, Any] | None) -> dict[str, Any]:
    d_model = D_Z if member.hookpoint.startswith("attn_z") else D_MODEL
    return listed_entry(
        member.listed, member.architecture, member.hookpoint, d_model, member.width, [member.group], kept
    )


def set_profile_text(name: str, manifest: Mapping[str, Any]) -> str:
    """Content of conf/saes/NAME.yaml: all but matching pursuit, which no parameters can name and `decompose` takes."""
    members = LAYER_SETS[name]()
    k_of = {member.group: member.k for member in members}
    saes = [sae for sae in manifest["saes"] if sae["architecture"] in get_args(Architecture)]
    return rendered(name, {sae["hookpoint"] for sae in saes}, grouped(saes, k_of), AIMED_AT)


def grouped(saes: Iterable[Mapping[str, Any]], k_of: Mapping[str, int | None]) -> Groups:
    groups: Groups = {}
    for sae in saes:
        (group,) = sae["roles"]
        groups.setdefault(group, (k_of[group], []))[1].append(member_text(sae))
    return groups
