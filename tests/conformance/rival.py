"""What another package answers to the known answers; runs in an environment that has this package.

    python rival.py NAME known_answers.json        one line of JSON on standard output: case → 1 − explained variance

Each function below calls the package's own code on given x and x_hat, with stand-ins for the model and the SAE.
"""

import inspect
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import torch

HOOK = "blocks.0.hook_resid_post"
Batches = list[tuple[torch.Tensor, torch.Tensor]]


def in_batches(case: dict) -> Batches:
    """(x, x_hat) of each batch."""
    x, x_hat = (torch.tensor(case[name], dtype=torch.float32) for name in ("x", "x_hat"))
    sizes = case.get("batches", [len(x)])
    return list(zip(x.split(sizes), x_hat.split(sizes), strict=True))


def variance_metrics(function, batches: Batches) -> float:
    """`get_sparsity_and_variance_metrics`, which sae-lens and SAEBench share."""
    current = iter(batches)
    here = {}

    class Model:
        def run_with_cache(self, tokens, **kwargs):
            return None, {HOOK: here["x"][None]}

    class Store:
        def get_batch_tokens(self, size):
            here["x"], here["x_hat"] = next(current)
            return torch.zeros((1, len(here["x"])), dtype=torch.long)

    place = SimpleNamespace(hook_name=HOOK, hook_head_index=None, hook_layer=0)
    sae = SimpleNamespace(
        cfg=SimpleNamespace(metadata=place, d_sae=1, **vars(place)),
        device="cpu",
        encode=lambda x: torch.ones((*x.shape[:-1], 1)),
        decode=lambda acts: here["x_hat"][None],
    )
    given = {
        "sae": sae,
        "model": Model(),
        "activation_store": Store(),
        "activation_scaler": SimpleNamespace(scale=lambda x: x, unscale=lambda x: x),
        "n_batches": len(batches),
        "compute_l2_norms": False,
        "compute_sparsity_metrics": False,
        "compute_variance_metrics": True,
        "compute_featurewise_density_statistics": False,
        "eval_batch_size_prompts": 1,
        "model_kwargs": {},
    }
    known = inspect.signature(function).parameters
    metrics, _ = function(**{name: value for name, value in given.items() if name in known})
    return 1 - metrics["explained_variance"]


def sae_lens(batches: Batches) -> float:
    from sae_lens.evals import get_sparsity_and_variance_metrics

    return variance_metrics(get_sparsity_and_variance_metrics, batches)


def sae_bench(batches: Batches) -> float:
    from sae_bench.evals.core.main import get_sparsity_and_variance_metrics

    return variance_metrics(get_sparsity_and_variance_metrics, batches)


def dictionary_learning(batches: Batches) -> float:
    from dictionary_learning.evaluation import evaluate

    given = iter(x_hat for _, x_hat in batches)

    class Dictionary:
        dict_size = 1

        def __call__(self, x, output_features):
            return next(given), torch.ones((len(x), 1))

    out = evaluate(Dictionary(), iter(x for x, _ in batches), n_batches=len(batches))
    return 1 - out["frac_variance_explained"]


def sparsify(batches: Batches) -> float:
    """The loss of one batch; over several, the mean, as its trainer logs it."""
    from sparsify import SparseCoder, SparseCoderConfig

    results = []
    for x, x_hat in batches:
        coder = SparseCoder(x.shape[1], SparseCoderConfig(num_latents=4, k=1))
        coder.decode = lambda acts, indices, x_hat=x_hat: x_hat.clone()
        results.append(float(coder(x).fvu))
    return sum(results) / len(results)


RIVALS = {
    "sae-lens": sae_lens,
    "sae-bench": sae_bench,
    "dictionary-learning": dictionary_learning,
    "eai-sparsify": sparsify,
}


def main(name: str, file: str) -> None:
    answers = {}
    for case in json.loads(Path(file).read_text(encoding="utf-8")):
        try:
            value = float(RIVALS[name](in_batches(case)))
            answers[case["name"]] = value if math.isfinite(value) else str(value)
        except Exception as error:
            answers[case["name"]] = f"{type(error).__name__}"
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
