"""Raw rows of a few SAEs and the per-context sums that the decomposition would leave of them.

The rows stay at hand, so that a test can compute every number from them, resampled contexts and all.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from first_order import mean_of_ratios

from darkmatter.ledger.estimands.evidence import Evidence
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.results.load import Results
from darkmatter.statistics.per_dimension import error_sums
from darkmatter.statistics.sae_estimates import NORM_TEST, context_products
from darkmatter.storage.artifacts import write_arrays

CONTEXTS, TOKENS, D_MODEL = 24, 9, 4
SOURCES = (*SPLITS, "all", "cross-fit")


class FakeRows:
    """Raw rows of made-up SAEs, and how they are cut into row sets.

    Attributes:
        sets: [set, context, token] the rows of each row set.
        x: hookpoint → [context, token, dim].
        saes: HOOKPOINT/NAME → its arrays over rows, by the names that the sums have.
    """

    def __init__(self, results: Results, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        token = random.random((CONTEXTS, TOKENS)) < 0.6
        context = np.repeat(np.arange(CONTEXTS)[:, None] % 2 == 0, TOKENS, axis=1)
        self.sets = np.stack([token, context, np.ones_like(token)]).astype(float)
        self.x: dict[str, np.ndarray] = {}
        self.saes: dict[str, dict[str, np.ndarray]] = {}
        for hookpoint, run in results.decomposition.items():
            of_context = random.normal(size=(CONTEXTS, 1, D_MODEL))
            self.x[hookpoint] = of_context + random.normal(size=(CONTEXTS, TOKENS, D_MODEL))
            for sae in run["saes"]:
                self.saes[f"{hookpoint}/{sae['name']}"] = self.rows_of(sae, self.x[hookpoint], random)

    @staticmethod
    def rows_of(sae: dict[str, Any], x: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
        level = 0.9 * sae["d_sae"] ** -0.15 * sae["l0"] ** -0.1
        noise = lambda scale: scale * random.normal(size=x.shape)  # noqa: E731
        error = level * x + noise(0.5 * level)
        arrays = {"error_vector": error, "sum/error": (error**2).sum(-1)}
        for way in ("paper", "authors"):
            for split in SPLITS:
                left = noise(0.6 * level)
                arrays[f"vector/{split}/{way}"] = left
                arrays[f"pooled/nonlinear/{split}/{way}"] = (left**2).sum(-1)
        norms = {name: np.square(noise(1.0)).sum(-1) + 1 for name in ("x", "sae")}
        arrays |= {"target/x": norms["x"], "target/sae": norms["sae"], "target/error": arrays["sum/error"]}
        for source in SOURCES:
            for part in ("linear", "nonlinear"):
                squared = np.square(noise(level)).sum(-1)
                arrays |= {f"target/{part}/{source}": squared, f"sum/{part}/{source}": squared}
            arrays[f"sum/cosine/{source}"] = random.uniform(0.2, 0.8, x.shape[:2])
        arrays |= {"sum/norm_x": norms["x"] ** 0.5, "sum/norm_sae": 0.9 * norms["x"] ** 0.5 + 0.01 * norms["sae"]}
        for key in [key for key in arrays if key.startswith("target/")]:
            arrays[f"left/{key.removeprefix('target/')}"] = 0.6 * random.normal(size=x.shape[:2]) * arrays[key].std()
        return arrays

    def sums_of(self, path: str) -> dict[str, np.ndarray]:
        """As `sums.npz` of one SAE."""
        rows = self.saes[path]
        total = lambda values: np.einsum("sct,ct->sc", self.sets, values)  # noqa: E731
        sums = {key: total(values) for key, values in rows.items() if key.startswith(("sum/", "pooled/"))}
        for key in [key.removeprefix("target/") for key in rows if key.startswith("target/")]:
            sums[f"centred_sum/{key}"] = total(rows[f"target/{key}"])
            sums[f"centred_square/{key}"] = total(rows[f"target/{key}"] ** 2)
        for split in SPLITS:
            for way in ("paper", "authors"):
                for name in NORM_TEST:
                    sums[f"residual/{split}/{way}/{name}"] = total(rows[f"left/{column(name, split, way)}"] ** 2)
        sums |= {f"residual/cross-fit/{part}": total(rows[f"left/{part}/cross-fit"] ** 2) for part in NORM_TEST[3:]}
        return sums | error_sums(self.x_sums_of(path.split("/")[0]), self.dimension_sums_of(path))

    def x_sums_of(self, hookpoint: str) -> dict[str, np.ndarray]:
        """As the shared moments of a hookpoint have them."""
        parts = {"x_sum": self.x[hookpoint], "x_square": self.x[hookpoint] ** 2}
        sums = {name: np.einsum("sct,ctd->scd", self.sets, values) for name, values in parts.items()}
        return {"rows": self.sets.sum(-1), **sums}

    def dimension_sums_of(self, path: str) -> dict[str, np.ndarray]:
        rows = self.saes[path]
        total = lambda values: np.einsum("sct,ctd->scd", self.sets, values)  # noqa: E731
        left = {f"nonlinear/{key[7:]}": total(rows[key] ** 2) for key in rows if key.startswith("vector/")}
        return {"error_sum": total(rows["error_vector"]), "error_square": total(rows["error_vector"] ** 2), **left}

    def write(self, folder: Path) -> Path:
        """The folder of committed sums."""
        for hookpoint in self.x:
            of_x = self.x_sums_of(hookpoint)
            arrays = {"rows": of_x["rows"], "square": of_x["x_square"].sum(-1), "cross": context_products(of_x)}
            for path in (path for path in self.saes if path.startswith(f"{hookpoint}/")):
                name = path.split("/")[1]
                arrays |= {f"{name}/{key}": values for key, values in self.sums_of(path).items()}
            write_arrays(folder / "sums" / f"{hookpoint}.npz", arrays)
        return folder / "sums"

    def evidence(self, params: Params, results: Results, folder: Path, layers: int = 3) -> Evidence:
        return Evidence(params, results, self.write(folder), layers)

    @functools.cache  # noqa: B019 (as many entries as a test draws)
    def taken(self, number: int, counts: bytes) -> np.ndarray:
        """Flat indices of the rows of a row set, those of each context as often as it was drawn."""
        held_out = self.sets[number] > 0
        drawn = np.repeat(np.arange(CONTEXTS), np.frombuffer(counts, dtype=int))
        return np.concatenate([context * TOKENS + np.flatnonzero(held_out[context]) for context in drawn])

    def number(self, path: str, metric: str, split: str, way: str, drawn: np.ndarray | None = None) -> float:
        """One number of one SAE from its rows, the contexts repeated as `drawn` (counts) says."""
        rows = self.saes[path]
        pooled = metric.startswith("fvu") and way == "authors"
        number = 2 if pooled else SPLITS.index(split)
        counts = np.ones(CONTEXTS, dtype=int) if drawn is None else drawn
        taken = self.taken(number, counts.tobytes())
        take = lambda values: values.reshape(CONTEXTS * TOKENS, *values.shape[2:])[taken]  # noqa: E731
        match metric.split(":"):
            case ["norm_test", name]:
                key = column(name, split, way)
                target, left = take(rows[f"target/{key}"]), take(rows[f"left/{key}"])
                return 1 - (left**2).sum() / ((target - target.mean()) ** 2).sum()
            case ["vector_r2"]:
                return 1 - self.first_order(rows["error_vector"], rows[f"vector/{split}/{way}"], number, taken)
            case ["fvu_per_dim" | "fvu_nonlinear_per_dim"]:
                left = rows["error_vector" if metric == "fvu_per_dim" else f"vector/{split}/{way}"]
                return self.first_order(self.x[path.split("/")[0]], left, number, taken)
            case ["fvu" | "fvu_nonlinear"]:
                key = "sum/error" if metric == "fvu" else f"pooled/nonlinear/{split}/{way}"
                x = take(self.x[path.split("/")[0]])
                return take(rows[key]).sum() / ((x - x.mean(0)) ** 2).sum()
            case ["norm_ratio"]:
                return take(rows["sum/norm_sae"]).sum() / take(rows["sum/norm_x"]).sum()
            case ["cos_linear_x"]:
                return take(rows[f"sum/cosine/{split if way == 'paper' else 'all'}"]).mean()
        raise ValueError(metric)

    def first_order(self, target: np.ndarray, left: np.ndarray, number: int, taken: np.ndarray) -> float:
        """Mean over dimensions of Σ left² / Σ (target − mean)² of the rows taken, each of the row set."""
        whole = self.taken(number, np.ones(CONTEXTS, dtype=int).tobytes())
        rows = lambda values: values.reshape(CONTEXTS * TOKENS, -1)[whole]  # noqa: E731
        centred = rows(target) - rows(target).mean(0)
        return mean_of_ratios(rows(left) ** 2, centred**2, np.searchsorted(whole, taken))


def column(name: str, split: str, way: str) -> str:
    return f"{name}/{split if way == 'paper' else 'all'}" if name.endswith("linear") else name
