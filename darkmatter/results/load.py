"""The results that figures and report read: reports/PROFILE/results/*.json, and how an estimate is picked from them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from darkmatter.params.conventions import PRIMARY
from darkmatter.statistics.estimate import Estimate
from darkmatter.storage.artifacts import ArtifactError, read_json

Sae = dict[str, Any]


class NotDrawn(Exception):  # noqa: N818 - no error: a profile may well lack what a figure shows
    """A figure's inputs are not part of this profile; the message says which."""


@dataclass(frozen=True)
class Results:
    """All results of a profile.

    Attributes:
        decomposition: hookpoint → content of its results file.
        experiments: name → content of its results file, for each one whose results a figure shows.
        sums: folder of HOOKPOINT.npz, the sums per context behind the decomposition's numbers; None: not here.
    """

    decomposition: dict[str, dict[str, Any]]
    experiments: dict[str, dict[str, Any]]
    sums: Path | None = field(default=None, compare=False)

    def experiment(self, name: str) -> dict[str, Any]:
        """The results of one experiment.

        Raises:
            NotDrawn: there are none.
        """
        if name not in self.experiments:
            raise NotDrawn(f"no results of {name}")
        return self.experiments[name]

    def saes(self, hookpoint: str, groups: Iterable[str] | None = None) -> list[Sae]:
        """SAEs of one hookpoint with a known width, by width, then L0; of these groups only, where named.

        Raises:
            NotDrawn: there are none.
        """
        if hookpoint not in self.decomposition:
            raise NotDrawn(f"no results for hookpoint {hookpoint}")
        wanted = None if groups is None else list(groups)
        results = [sae for sae in self.decomposition[hookpoint]["saes"] if wanted is None or sae["group"] in wanted]
        if not results:
            raise NotDrawn(f"no SAE of group {', '.join(wanted or ['any'])} at hookpoint {hookpoint}")
        return sorted(results, key=lambda sae: (sae["d_sae"], sae["k"] or 0, sae["seed"], sae["name"]))


def load_results(folder: Path, hookpoints: Iterable[str], experiments: Iterable[str]) -> Results:
    """Read the results of these hookpoints, and those of these experiments.

    Raises:
        ArtifactError: a file is missing, damaged, or holds another hookpoint than its name says.
    """
    decomposition = load_decomposition(folder, hookpoints)
    return Results(decomposition, {name: read_json(folder / f"{name}.json") for name in experiments}, folder / "sums")


def load_decomposition(folder: Path, hookpoints: Iterable[str]) -> dict[str, dict[str, Any]]:
    """As load_results, of the decomposition alone."""
    decomposition = {}
    for hookpoint in hookpoints:
        path = folder / "decomposition" / f"{hookpoint}.json"
        decomposition[hookpoint] = read_json(path)
        if decomposition[hookpoint].get("hookpoint") != hookpoint:
            raise ArtifactError(f"{path} holds {decomposition[hookpoint].get('hookpoint')!r}. Run `dvc repro -f`.")
    return decomposition


def estimate(sae: Sae, *path: str, split: str = PRIMARY[0], convention: str = PRIMARY[1]) -> Estimate:
    """One estimate of an SAE, such as `estimate(sae, "norm_test", "linear")`; an explicit null where it has none."""
    result: Any = sae["estimates"].get(split, {}).get(convention, {})
    for key in path:
        result = result.get(key) if isinstance(result, dict) else None
    if result is None:
        return {"value": None, "low": None, "high": None, "reason": f"not estimated ({split}, {convention})"}
    kept = {key: result.get(key) for key in ("value", "low", "high", "rows", "contexts", "reason") if key in result}
    return cast(Estimate, kept)


def one_per_cell(saes: list[Sae]) -> tuple[list[Sae], list[str]]:
    """One SAE for each (width, k), all trained on one budget: the commonest, and the first seed; all published ones.

    SAEs of several budgets on one map would mix training with width. Returns the names left out, too.
    """
    budgets = Counter(sae["train_tokens"] for sae in saes)
    budget = max(budgets, key=lambda tokens: (budgets[tokens], tokens))
    kept: dict[tuple[int, int | str], Sae] = {}
    for sae in saes:
        if sae["train_tokens"] == budget:
            kept.setdefault((sae["d_sae"], sae["k"] if sae["train_tokens"] else sae["name"]), sae)
    names = {sae["name"] for sae in kept.values()}
    return list(kept.values()), [sae["name"] for sae in saes if sae["name"] not in names]
