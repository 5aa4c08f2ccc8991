"""What it costs to score explanations of latents."""

from darkmatter.costs.cost import Cost, Work
from darkmatter.costs.saes import BASE, codes_size
from darkmatter.costs.workload import Workload
from darkmatter.experiments.error_saes.costs import trained_sae


def cost(w: Workload) -> Cost:
    """The offline surrogate; a language model as the judge has its own estimate before its first call."""
    own = w.params.interpretability
    latents = 2 * own.latents
    examples = own.deciles * own.examples_per_decile + own.negatives
    work = Work(python=0.018 * latents * examples / 120, loads="torch")
    return Cost((work,), BASE["torch"] + codes_size(w.rows, trained_sae(w)))
