"""Where each number of the page comes from: results files, the stages that made them, and what repeats it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from darkmatter.experiments.registry import records
from darkmatter.runner.staleness import stages_behind
from darkmatter.storage.paths import within_reports

Content = dict[str, Any]

# Figures and tables of the decomposition itself; those of an experiment stand in its record.
OF_DECOMPOSITION = (
    "fig01_breakdown",
    "fig02_maps",
    "fig03_layers",
    "fig06_norm_test",
    "fig10_appendix_maps",
    "fig11_appendix_maps",
    "tabA1_shrinkage",
)

LONG = "saes.groups."  # every SAE of the profile; listed once, with the stage's receipt


def results_shown(figure: str) -> tuple[str, ...]:
    """The results files that a figure or table shows, by name; a test holds this against what its module reads."""
    own = ("decomposition",) if figure in OF_DECOMPOSITION else ()
    return (*own, *(name for name, record in records().items() if figure in record.figures))


class Provenance:
    """What receipts say of the stages.

    Args:
        receipts: stage → its receipt.
        stale: stage → why its results are not of what is here now.
        hookpoint: the main one, which stands for all where a results file has many.
        profile: whose run it is, where not the page's own.
    """

    def __init__(
        self, receipts: Mapping[str, Content], stale: Mapping[str, str], hookpoint: str, profile: str | None = None
    ) -> None:
        self.receipts, self.stale, self.hookpoint, self.profile = receipts, stale, hookpoint, profile

    def stages_of(self, results: str) -> list[str]:
        """The stages that made the numbers of one results file."""
        many = sorted(name for name in self.receipts if name.startswith(f"{results}@"))
        return many or ([results] if results in self.receipts else [])

    def made_by(self, results: Sequence[str], derive: Sequence[str], hookpoint: str | None = None) -> Content:
        """The strip below a figure or claim.

        Args:
            results: names of results files.
            derive: what `darkmatter audit` is asked for.
            hookpoint: whose stage is shown first.
        """
        stages, others = [], []
        for name in results:
            result = self.stages_of(name)
            first = f"{name}@{hookpoint or self.hookpoint}"
            head = first if first in result else result[0] if result else None
            stages += [self.brief(head)] if head else []
            others += [stage for stage in result if stage != head]
        of_profile = f" --profile {self.profile}" if self.profile else ""
        seconds = sum(self.receipts[stage]["seconds"] for stage in [*(stage["name"] for stage in stages), *others])
        return {
            "profile": self.profile,
            "stages": stages,
            "others": others,
            "seconds": seconds,
            "derive": [f"darkmatter audit {words}{of_profile}" for words in derive],
        }

    def brief(self, name: str) -> Content:
        receipt = self.receipts[name]
        return {
            "name": name,
            "command": receipt["command"],
            "revision": short_revision(receipt["revision"]),
            "seconds": receipt["seconds"],
            "inputs": dict(sorted(receipt["inputs"].items())),
            "parameters": [item for item in flat(receipt["params"]) if not item[0].startswith(LONG)],
            "stale": self.stale.get(name),
        }

    def why_stale(self, results: Iterable[str], last: str) -> str | None:
        """Why what is shown of these results files is of another state than the one here; None where it is not.

        Args:
            last: the stage that showed or judged them. It reads more than these results, so what else is behind it is
                left out.
        """
        files = {path for name in results for path in (f"results/{name}", f"results/{name}.json")}
        stages = [
            stage for stage, receipt in self.receipts.items() if files & set(map(within_reports, receipt["outputs"]))
        ]
        behind = {last}.union(*(stages_behind(stage, self.receipts) for stage in stages))
        reasons = [self.stale[stage] for stage in sorted(behind & self.stale.keys())]
        if not reasons:
            return None
        return reasons[0] + (f"; {len(reasons) - 1} more stages are stale" if len(reasons) > 1 else "")

    def cards(self) -> list[Content]:
        """Every stage in full, in the order of the alphabet."""
        return [
            self.brief(name)
            | {"parameters": flat(receipt["params"])}
            | {key: receipt[key] for key in ("cpu_seconds", "peak_memory_bytes", "started", "outputs", "code")}
            | {kind: len(receipt["units"][kind]) for kind in ("computed", "reused")}
            for name, receipt in sorted(self.receipts.items())
        ]


def results_name(path: str) -> str:
    """results/decomposition/<hookpoint>.json → decomposition; results/pursuit.json → pursuit."""
    return PurePosixPath(path).parts[1].removesuffix(".json")


def short_revision(revision: str | None) -> str:
    """Twelve digits, with `+` where tracked files differed from the commit."""
    return "unknown" if revision is None else revision[:12] + ("+" if revision.endswith("+") else "")


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested parameters as (dotted name, text)."""
    if not isinstance(value, dict):
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        return [(prefix, text)]
    return [item for key, inner in value.items() for item in flat(inner, f"{prefix}.{key}" if prefix else str(key))]
