"""What it costs to compare a probe with latents."""

from darkmatter.costs.cost import Cost, Work
from darkmatter.costs.regressions import DECODED, EIGEN
from darkmatter.costs.saes import BASE, codes_size, opened, opening, unpacked
from darkmatter.costs.workload import FLOAT32, FLOAT64, Workload


def cost(w: Workload) -> Cost:
    sae = w.at_main(w.params.latent_probe.sae)
    d, rows = float(sae.d_model), float(w.rows)
    work = Work(
        double=6 * rows * d * d + EIGEN * 3 * d**3,
        traffic=FLOAT32 * rows * d * (DECODED + 2) * sae.l0,  # of Σ w g each slot's direction, too
        python=3.0,
        loads="torch",
    )
    whole = sae.size / 2 + FLOAT64 * sae.d_sae * (d + 12)  # the decoder in both number types
    memory = BASE["torch"] + 2 * codes_size(w.rows, sae) + whole + FLOAT64 * 12 * d * d
    return Cost((work, opening([sae])), memory, disk=1e6, scratch=unpacked([sae]), read=opened([sae]))
