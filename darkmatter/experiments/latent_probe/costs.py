"""What it costs to compare a probe with latents."""

from darkmatter.costs.cost import Cost, Work, many
from darkmatter.costs.regressions import DECODED, EIGEN
from darkmatter.costs.saes import BASE, codes_size, opened, opening, unpacked
from darkmatter.costs.workload import FLOAT32, FLOAT64, PlannedSae, Workload


def cost(w: Workload) -> Cost:
    chosen = w.params.latent_probe
    saes = [w.at_main(name) for name in (chosen.sae, *chosen.further_saes)]
    memory = max(needed(w.rows, sae) for sae in saes)
    each = many([probing(w.rows, sae) for sae in saes])
    return Cost((each, opening(saes)), memory, disk=1e6, scratch=unpacked(saes), read=opened(saes))


def probing(rows: int, sae: PlannedSae) -> Work:
    d = float(sae.d_model)
    return Work(
        double=6 * rows * d * d + EIGEN * 3 * d**3,
        traffic=FLOAT32 * rows * d * (DECODED + 2) * sae.l0,  # of Σ w g each slot's direction, too
        python=3.0,
        loads="torch",
    )


def needed(rows: int, sae: PlannedSae) -> float:
    d = sae.d_model
    whole = sae.size / 2 + FLOAT64 * sae.d_sae * (d + 12)  # the decoder in both number types
    return BASE["torch"] + 2 * codes_size(rows, sae) + whole + FLOAT64 * 12 * d * d
