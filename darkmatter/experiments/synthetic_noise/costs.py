"""What it costs to plant noise on a reconstruction."""

from darkmatter.costs.cost import Cost, Work, many
from darkmatter.costs.regressions import EIGEN
from darkmatter.costs.saes import BASE, codes_size, decoder, encoding, opened, opening, unpacked
from darkmatter.costs.workload import FLOAT32, FLOAT64, PlannedSae, Workload


def cost(w: Workload) -> Cost:
    """Moments of the ground truth, its ablations and the noise; every cell of the grid follows from them."""
    own = w.params.synthetic_noise
    sae, further = w.at_main(own.sae), [w.at_main(name) for name in own.further_saes]
    deviations, shares, seeds = (len(grid) for grid in (own.noise_deviations, own.ablated_shares, own.seeds))
    rows, d = own.contexts_per_seed * w.tokens.positions, float(sae.d_model)

    def grid(one: PlannedSae, groups: int, variants: int) -> Work:
        code = encoding(rows, one)
        cells = deviations * variants * (EIGEN + 6 * (1 + groups)) * d**3
        moments = FLOAT64 * rows * d * (4 + 3 * groups) + FLOAT32 * rows * d * one.l0 * (1 + 2 * groups)
        return Work(
            single=code.single,
            double=2.0 * rows * d * d * (5 + 2 * groups) + cells,
            traffic=code.traffic + moments,
            python=40e-9 * rows * d,
            loads="sae_lens",
        )

    units = [grid(sae, shares, 3), *(grid(one, 2, 1) for one in further)] * seeds
    kept = (4 + 2) * (5 + 2 * shares) + 10 * (1 + shares)  # blocks, two row sets of them, and what one cell is made of
    memory = FLOAT64 * d * d * kept + codes_size(w.rows, sae) + FLOAT32 * 2 * rows * d
    memory += decoder(sae) if sae.published else sae.size
    saes = [sae, *further]
    steps = (many(units, "sae_lens"), opening(saes * seeds))
    return Cost(steps, BASE["sae_lens"] + memory, disk=1e6, scratch=unpacked(saes), read=opened(saes))
