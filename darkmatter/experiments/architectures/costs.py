"""What the architectures cost."""

from darkmatter.costs.cost import Cost, Work, many
from darkmatter.costs.regressions import fit_sets, moments_memory, roots, shared_moments, splitting
from darkmatter.costs.saes import BASE, encoding, training
from darkmatter.costs.workload import FLOAT32, PlannedSae, Workload
from darkmatter.experiments.architectures.names import PURSUIT, SKIP, TOPK, ComparedSae, trained

SPARSE = (TOPK, SKIP)  # trained by sums of few rows, all others through every latent
PURSUIT_PASSES = 8  # over dense activations of a row, for each latent that is chosen


def planned(w: Workload, sae: ComparedSae) -> PlannedSae:
    """The same as an SAE of the graph would be, by its size."""
    return PlannedSae(w.main, w.model.d_model, sae.d_sae, sae.k, sae.train_tokens)


def pursuit(rows: int, sae: PlannedSae) -> tuple[float, float]:
    """FLOP and traffic of choosing the latents of so many rows, one product for each latent."""
    choices = rows * sae.l0
    return 2.0 * choices * sae.d_model * sae.d_sae, float(FLOAT32 * PURSUIT_PASSES * choices * sae.d_sae)


def trained_work(w: Workload, sae: ComparedSae) -> tuple[Work, float]:
    """One SAE: its work, and its memory while it trains."""
    one = planned(w, sae)
    work, held = training(w, one, dense=sae.architecture not in SPARSE)
    if sae.architecture == PURSUIT:
        flop, traffic = pursuit(sae.train_tokens, one)
        work = Work(training=work.training + flop, traffic=work.traffic + traffic)
    return work, held


def measured_work(w: Workload, sae: ComparedSae, rows: int) -> Work:
    """Sae(x) of the rows, and the decomposition of the error."""
    one = planned(w, sae)
    code, split = encoding(rows, one), splitting(rows, one, fit_sets(w))
    flop, traffic = pursuit(rows, one) if sae.architecture == PURSUIT else (0.0, 0.0)
    return Work(
        single=code.single + flop,
        double=split.double,
        traffic=code.traffic + split.traffic + traffic,
        python=split.python,
    )


def cost(w: Workload) -> Cost:
    """Training on the CPU, whatever the device; then the error of each SAE on some of the held-out contexts."""
    own, d = w.params.architectures, w.model.d_model
    if not own.classes:
        return Cost((Work(python=0.1),), BASE["torch"])
    saes, rows = trained(own), own.contexts * w.tokens.positions
    runs = [trained_work(w, sae) for sae in saes]
    steps = (
        many([run for run, _ in runs], "sae_lens"),
        shared_moments(rows, d, fit_sets(w)),
        many([measured_work(w, sae, rows) for sae in saes], "sae_lens"),
        Work(python=0.15 * len(saes)),  # intervals
    )
    sizes = sum(planned(w, sae).size for sae in saes)
    memory = BASE["sae_lens"] + max(FLOAT32 * rows * d + moments_memory(w, d), *(held for _, held in runs))
    return Cost(steps, memory, disk=sizes, scratch=sizes + roots(w, d))
