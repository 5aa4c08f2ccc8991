"""Everything that a profile's claims are judged on, from its files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from darkmatter.experiments.components.results import STORED as COMPONENTS_STORED
from darkmatter.experiments.nulls.names import STORED as NULLS_STORED
from darkmatter.experiments.pursuit.results import STORED as PURSUIT_STORED
from darkmatter.experiments.registry import records
from darkmatter.ledger.estimands.evidence import Evidence
from darkmatter.ledger.verdicts import PAPER_MODELS
from darkmatter.params.schema import Params
from darkmatter.results.load import Results, load_decomposition
from darkmatter.storage.artifacts import read_json
from darkmatter.storage.paths import MANIFESTS, reports_of


def gather(params: Params, reads: Callable[[Path], Path] = Path) -> Evidence:
    """Read the results of the profile, and open its sums.

    Args:
        reads: is told every path that is read, such as `Stage.reads`.

    Raises:
        ArtifactError: results are missing or damaged.
    """
    reports = reports_of(params.profile)
    reads(reports.decomposition)
    names = ["lemmas", *(name for name, record in records().items() if record.offered)]
    files = {name: reports.results / f"{name}.json" for name in names}
    experiments = {name: read_json(reads(path)) for name, path in files.items() if path.exists()}
    pursuit, nulls, components = (reports.results / name for name in (PURSUIT_STORED, NULLS_STORED, COMPONENTS_STORED))
    return Evidence(
        params,
        Results(load_decomposition(reports.results, params.hookpoints), experiments),
        reads(reports.sums),
        read_json(reads(reports.results / "data.json"))["model"]["layers"],
        reads(pursuit) if pursuit.exists() else None,
        manifests(reads),
        reads(nulls) if nulls.exists() else None,
        reads(components) if components.exists() else None,
    )


def manifests(reads: Callable[[Path], Path]) -> dict[str, Any] | None:
    """The lists of the SAEs of the paper's models; None where one is not here."""
    files = {model: MANIFESTS / f"{model}.json" for model in PAPER_MODELS}
    if not all(path.exists() for path in files.values()):
        return None
    return {model: read_json(reads(path)) for model, path in files.items()}
