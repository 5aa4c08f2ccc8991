"""What it costs to run the controls."""

from darkmatter.costs.cost import Cost, Work, many
from darkmatter.costs.regressions import blocks
from darkmatter.costs.saes import BASE, codes_size, decoder, opened, opening, unpacked
from darkmatter.costs.workload import FLOAT32, FLOAT64, Workload


def cost(w: Workload) -> Cost:
    """Real, shuffled and random errors, planted linear ones, and features that are sparse by construction."""
    own = w.params.controls
    sae, shares = w.at_main(own.sae), len(own.planted_shares)
    rows, d = float(own.contexts * w.tokens.positions), float(sae.d_model)
    usual = Work(double=4 * rows * d * d, single=12 * rows * d * d, traffic=FLOAT32 * rows * d * sae.l0)
    planted = Work(double=(6 + 4) * rows * d * d, single=8 * shares * rows * d * d)
    steps = (many([planted, usual, usual, usual], "torch"), Work(python=3.0 + opening([sae]).python))
    memory = FLOAT32 * rows * d * (3 + 2 * shares) + FLOAT64 * blocks(w) * d * d * (1 + shares) / 2
    memory += BASE["torch"] + codes_size(w.rows, sae) + decoder(sae)
    return Cost(steps, memory, disk=1e6, scratch=unpacked([sae]), read=opened([sae]))
