"""What it costs to find the rank of LinearError."""

from darkmatter.costs.cost import Cost, Work, many
from darkmatter.costs.regressions import EIGEN, fit_sets, moments_memory, roots, shared_moments
from darkmatter.costs.saes import BASE, LOGITS, codes_size, decoder, opened, opening, unpacked
from darkmatter.costs.workload import FLOAT32, FLOAT64, PlannedSae, Workload, layer_number
from darkmatter.experiments.linear_rank.choices import measured, spliced
from darkmatter.experiments.linear_rank.ranks import spliced_ranks, stored_ranks

FACTORISED = 6  # of d_model³: the directions of three maps, and the components of x for each
DECODED = 2  # times that an SAE's reconstruction is built from its codes


def cost(w: Workload) -> Cost:
    """Moments of x at the layers of the sweep; two passes over the rows for each SAE; a pass above for each splice."""
    saes = [w.sae(spec.path) for spec in measured(w.params)]
    elsewhere = {sae.hookpoint: sae.d_model for sae in saes if sae.hookpoint != w.main}
    d = w.model.d_model
    moments = many([shared_moments(w.rows, width, fit_sets(w)) for width in elsewhere.values()], "torch", True)
    ranked = many([ranking(w, sae) for sae in saes], "torch", True)
    names = [w.at_main(name) for name in spliced(w.params)]
    contexts, passes = w.params.downstream.contexts, len(names) * len(spliced_ranks(d))
    length, scored = w.tokens.context_length, w.tokens.context_length - w.tokens.first_position
    below = layer_number(w.main) + 1
    forward = w.model.pass_flops(contexts, length, below)
    forward += passes * w.model.pass_flops(contexts, length, w.model.layers - below, scored)
    splices = Work(forward=forward, python=0.1 * passes * contexts, units=contexts, on_device=True)
    held = BASE["torch"] + max(codes_size(w.rows, sae) + decoder(sae) for sae in saes) + roots(w, d)
    weights = w.number_bytes * w.model.parameters
    samples = BASE["torch"] + weights + sum(codes_size(w.rows, sae) + decoder(sae) + roots(w, d) for sae in names)
    device = max(moments_memory(w, d), weights + LOGITS * FLOAT32 * scored * w.model.vocabulary)
    sums = FLOAT64 * len(saes) * 4 * w.tokens.eval_contexts * len(stored_ranks(d))
    scratch = len(elsewhere) * roots(w, d) + 2 * FLOAT64 * d * d * len(names)
    return Cost(
        (moments, ranked, splices),
        held,
        device,
        max(held, samples),
        sums,
        unpacked(saes) + scratch,
        read=opened(saes),
    )


def ranking(w: Workload, sae: PlannedSae) -> Work:
    d, rows = float(sae.d_model), float(w.rows)
    held_out = 2 * (1 - w.params.decomposition.fit_share) * rows
    return Work(
        double=2 * rows * d * d + 4 * held_out * d * d + (4 * fit_sets(w) + FACTORISED * EIGEN) * d**3,
        traffic=FLOAT32 * rows * d * (DECODED * sae.l0 + 8),
        python=0.5 + opening([sae]).python,
    )
