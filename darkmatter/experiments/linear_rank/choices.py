"""Which SAEs are measured.

They follow from the options of the figures and of section 5.3; the experiment has none of its own. No torch.
"""

from darkmatter.params.saes import SaeSpec
from darkmatter.params.schema import Params
from darkmatter.results.load import one_per_cell


def measured(params: Params) -> list[SaeSpec]:
    """The SAEs of the main hookpoint, and those of the layer sweep at other layers."""
    main, groups = params.figures.main_hookpoint, params.figures.layers_groups
    return [
        spec
        for spec in params.sae_specs()
        if spec.hookpoint == main or (spec.group in groups and spec.hookpoint.startswith("resid_post."))
    ]


def spliced(params: Params) -> list[str]:
    """The narrowest and the widest SAE of section 5.3."""
    main = params.figures.main_hookpoint
    saes = sorted(params.downstream.saes, key=lambda name: params.sae_spec(f"{main}/{name}").d_sae)
    return list(dict.fromkeys((saes[0], saes[-1])))


def at_main(params: Params, groups: list[str]) -> list[SaeSpec]:
    """SAEs of these groups at the main hookpoint, one for each width and L0, as the figures have them."""
    main = params.figures.main_hookpoint
    specs = [spec for spec in params.sae_specs(main) if spec.group in groups]
    kept, _ = one_per_cell([spec.model_dump() for spec in specs])
    names = {sae["name"] for sae in kept}
    return [spec for spec in specs if spec.name in names]


def at_layers(params: Params) -> list[SaeSpec]:
    """SAEs of the layer sweep."""
    return [spec for spec in measured(params) if spec.group in params.figures.layers_groups]


def layer(spec: SaeSpec) -> int:
    return int(spec.hookpoint.rpartition(".")[2])
