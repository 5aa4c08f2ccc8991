"""What it costs to train SAEs on the parts of an error."""

from darkmatter.costs.cost import Cost, Work
from darkmatter.costs.regressions import EIGEN
from darkmatter.costs.saes import BASE, codes_size, encoding, encoding_memory, opened, opening, training
from darkmatter.costs.workload import FLOAT32, FLOAT64, PlannedSae, Workload
from darkmatter.experiments.error_saes.names import PARTS


def trained_sae(w: Workload) -> PlannedSae:
    """One of those that are trained on a part."""
    own = w.params.error_saes
    return PlannedSae(w.main, w.model.d_model, own.d_sae, own.k, own.train_tokens)


def cost(w: Workload) -> Cost:
    """One part of the error of all rows after the other, SAEs trained on each, and their codes of the rows held out."""
    own, sae, erring = w.params.error_saes, trained_sae(w), w.at_main(w.params.error_saes.sae)
    trained, d, runs = own.train_contexts * w.tokens.positions, sae.d_model, len(PARTS) * len(own.seeds)
    run, device = training(w, sae, dense=w.params.device != "cpu")
    code = encoding(w.rows, sae)
    parts = Work(
        double=4.0 * trained * d * d + 2.0 * (trained + w.rows) * d * d + EIGEN * float(d) ** 3,
        traffic=FLOAT32 * (trained + w.rows) * d * (10.0 + erring.l0),
        python=opening([erring]).python,
        loads="sae_lens",
    )
    steps = (
        *(encoding(trained + w.rows, erring), parts) * len(PARTS),
        Work(
            single=runs * run.training,  # in float32: what the SAE leaves is judged in the same unit
            traffic=runs * run.traffic,
            units=runs,
            loads="sae_lens",
            on_device=True,
        ),
        Work(single=runs * code.single, traffic=runs * code.traffic, units=runs),
    )
    scratch = w.number_bytes * (trained + w.rows) * d
    memory = BASE["sae_lens"] + max(FLOAT64 * 6 * d * d, encoding_memory(w.rows, sae))
    disk = runs * (sae.size + codes_size(w.rows, sae))
    note = (
        f"section 5.2 trains on {own.train_tokens / 1e6:.3g}M rows: {trained / 1e6:.3g}M distinct ones, each used "
        f"{own.train_tokens / trained:.0f} times."
    )
    return Cost(steps, memory, device, disk=disk, scratch=scratch, read=opened([erring]), note=note)
