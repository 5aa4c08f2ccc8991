"""What it costs to splice parts of the error into the model."""

from darkmatter.costs.cost import Cost, Work, many
from darkmatter.costs.regressions import fit_sets, moments_memory, roots
from darkmatter.costs.saes import BASE, LOGITS, codes_size, decoder, opened, opening, unpacked
from darkmatter.costs.workload import FLOAT32, FLOAT64, Workload, layer_number

UNCONTROLLED = 3  # splices of an SAE besides its controls: Sae(x), and that with either part of the error


def cost(w: Workload) -> Cost:
    """The blocks above the hookpoint once for each splice, those below it once."""
    own = w.params.downstream
    saes = [w.at_main(name) for name in own.saes]
    length, scored = w.tokens.context_length, w.tokens.context_length - w.tokens.first_position
    below = layer_number(w.main) + 1
    passes = 1 + (UNCONTROLLED + len(own.controls)) * len(saes)
    forward = w.model.pass_flops(own.contexts, length, below)
    forward += passes * w.model.pass_flops(own.contexts, length, w.model.layers - below, scored)
    d = w.model.d_model
    maps = [Work(double=2.0 * w.rows * d * d + 4.0 * fit_sets(w) * d**3) for _ in saes]
    steps = (
        many([*maps, opening(saes)], "torch", on_device=True),
        Work(
            forward=forward,
            python=0.1 * passes * own.contexts + 2 * opening(saes).python,
            units=own.contexts,
            on_device=True,
        ),
    )
    logits = LOGITS * FLOAT32 * scored * w.model.vocabulary
    samples = sum(codes_size(w.rows, sae) + decoder(sae) + roots(w, d) for sae in saes)
    weights = w.number_bytes * w.model.parameters
    device = max(moments_memory(w, d), weights + logits + FLOAT64 * 2 * d * d)
    return Cost(
        steps,
        BASE["torch"] + samples,
        device,
        BASE["torch"] + max(weights, samples),
        1e6,
        max(unpacked(saes), FLOAT64 * d * d * len(saes)),
        read=opened(saes),
    )
