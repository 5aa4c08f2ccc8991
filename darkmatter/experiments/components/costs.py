"""What it costs to predict the error from earlier components."""

from darkmatter.costs.cost import Cost, Work, many
from darkmatter.costs.regressions import DECODED, EIGEN, VECTOR_PASSES, roots
from darkmatter.costs.saes import BASE, codes_size, decoder, opened, opening, unpacked
from darkmatter.costs.workload import FLOAT32, FLOAT64, Workload

REGRESSED_BLOCKS = 4  # sets of rows without folds
MAPS = 3  # b* of either split and of all rows
PARTS = 5  # LinearError of each split and convention, and in sample


def cost(w: Workload) -> Cost:
    """Regress the error and its parts on the reconstructions of each parent, of all of them and of the SAE itself.

    Of a further SAE likewise, but for all parents together.
    """
    own = w.params.components
    saes, parents = [w.at_main(name) for name in (own.sae, *own.further_saes)], [w.sae(path) for path in own.parents]
    d, rows = saes[0].d_model, float(w.rows)
    each = [d] * (len(parents) + 1)  # an SAE of z enters through the output projection
    side_by_side = d * len(parents)
    derived = 6 * rows * d * d  # of each fit the rows that it is scored on, two fifths or all
    regressions = []
    for x in (*(each * len(saes)), side_by_side):
        moments, residuals = 2 * rows * x * x + 4 * rows * x * d, 12 * rows * x * d
        regressions.append(Work(single=residuals + derived, double=moments + EIGEN * 3 * float(x) ** 3))
    hashing = opening(parents).python + 2 * opening(saes).python
    projections = sum(8 * rows * sae.d_model * d for sae in parents if sae.hookpoint.startswith("attn_z."))
    shared = Work(
        single=len(saes) * (projections + PARTS * 2 * rows * d * d),
        double=len(saes) * (2 * rows * d * d + MAPS * 4.0 * d**3),
        traffic=sum(FLOAT32 * rows * d * (2 * VECTOR_PASSES + DECODED * sae.l0) for sae in saes),
        python=hashing,
        loads="torch",
        on_device=True,
    )
    steps = (shared, many(regressions, on_device=True))
    device = FLOAT64 * (REGRESSED_BLOCKS * float(side_by_side) * (side_by_side + 2 * d) + 6 * side_by_side * 3 * d)
    memory = BASE["torch"] + sum(codes_size(w.rows, sae) + decoder(sae) for sae in (*parents, saes[0]))
    read = (*parents, *saes)
    return Cost(steps, memory, device, memory + roots(w, d), 1e6, unpacked(read), read=opened(read))
