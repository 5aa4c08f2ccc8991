"""What it costs to draw synthetic activations, and to train and take apart SAEs of them."""

from darkmatter.costs.cost import Cost, Work, many
from darkmatter.costs.saes import BASE
from darkmatter.costs.workload import FLOAT32, FLOAT64, Workload
from darkmatter.experiments.ground_truth.names import VECTORS

STEP = 2.5e-3  # seconds of a training step that no size decides: sae-lens's bookkeeping, and small products
ROW = 1.5e-8  # seconds for a row and a latent in a step, over its products and all that is done to activations
PURSUIT_STEP = 2.5  # of matching pursuit, in steps of another architecture
MEASURED = 1e-4  # seconds for a held-out row of an SAE: its codes, pursuit, regression and products


def cost(w: Workload) -> Cost:
    """Steps are short: what takes the time is not their arithmetic."""
    own = w.params.ground_truth
    if not own.saes:
        return Cost((Work(python=0.1),), BASE["torch"])
    rows, world = own.contexts * own.context_rows, own.world
    drawn = rows + own.train_rows
    steps = own.train_tokens / own.batch_size
    training = [
        Work(python=(STEP * steps + ROW * own.train_tokens * sae.d_sae) * slower(sae.architecture)) for sae in own.saes
    ]
    memory = BASE["sae_lens"] + FLOAT32 * drawn * (3 * world.features + 2 * world.d_model)
    scratch = FLOAT32 * (drawn * world.d_model + rows * world.features) + len(own.saes) * rows * 8.0 * own.k
    pairs = len(VECTORS) * (len(VECTORS) + 1) / 2 * (1 + len(own.cosines))
    return Cost(
        (
            Work(python=2.0 + 2e-5 * drawn, loads="sae_lens"),
            many(training, "sae_lens"),
            many([Work(python=MEASURED * rows)] * len(own.saes), "torch"),
            Work(python=1.0 + 0.1 * len(own.saes)),
        ),
        memory,
        disk=FLOAT64 * len(own.saes) * own.contexts * pairs,
        scratch=scratch,
    )


def slower(architecture: str) -> float:
    return PURSUIT_STEP if architecture == "matching_pursuit" else 1.0
