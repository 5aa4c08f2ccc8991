"""What the nulls cost."""

from darkmatter.costs.cost import Cost, Work, many
from darkmatter.costs.regressions import EIGEN, fit_sets, moments_memory, roots, shared_moments, splitting
from darkmatter.costs.saes import BASE, codes_size, encoding, encoding_memory, training
from darkmatter.costs.workload import FLOAT32, FLOAT64, Workload, layer_number
from darkmatter.experiments.nulls.names import NULLS


def cost(w: Workload) -> Cost:
    """Rows of two nulls, drawn or read from a model; then training, codes and the decomposition under each null."""
    own, d = w.params.nulls, w.model.d_model
    saes = [w.at_main(name) for name in own.saes]
    if not saes:
        return Cost((Work(python=0.1),), BASE["torch"])
    positions, held_out = w.tokens.positions, w.rows
    drawn = own.gaussian_contexts * positions + held_out
    rows = w.train_contexts[w.main] * positions
    gaussian = Work(double=2.0 * (rows + drawn) * d * d + EIGEN * float(d) ** 3, traffic=FLOAT64 * 4.0 * drawn * d)
    contexts = own.random_model_contexts + w.tokens.eval_contexts
    passes = w.model.pass_flops(contexts, w.tokens.context_length, layer_number(w.main) + 1)
    shards = max(1, contexts // w.params.activations.shard_contexts)
    runs = [training(w, sae, dense=w.params.device != "cpu") for sae in saes]
    steps = (
        gaussian,
        Work(python=1.0, traffic=3.0 * w.number_bytes * w.model.parameters),
        Work(forward=passes, units=shards, loads="torch", on_device=True),
        many([run for run, _ in runs] * len(NULLS), "sae_lens", True),
        many([encoding(held_out, sae) for sae in saes] * len(NULLS), "sae_lens"),
        many([shared_moments(held_out, d, fit_sets(w))] * 2, "torch", True),
        many([splitting(held_out, sae, fit_sets(w)) for sae in saes] * len(NULLS), "torch", True),
        Work(python=2.0 * len(saes) * (1 + len(NULLS))),
    )
    memory = BASE["sae_lens"] + max(encoding_memory(held_out, sae) for sae in saes)
    device = max(moments_memory(w, d), w.number_bytes * w.model.parameters, *(held for _, held in runs))
    kept = len(NULLS) * sum(sae.size + codes_size(held_out, sae) for sae in saes)
    kept += w.number_bytes * (w.model.parameters + contexts * positions * d)
    return Cost(steps, memory, device, disk=kept, scratch=FLOAT32 * drawn * d + 2 * roots(w, d))
