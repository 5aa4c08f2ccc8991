"""Make numbers again from stored sums, and compare them with the committed ones: no model, no torch, no DVC.

What can be named: a claim, `claims`, a prediction, `decomposition`, the results of an experiment, `metrics`, `plots`, a
figure or table. A claim or prediction is judged again, and so are the results of its experiment; what is drawn is made
again from the results.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from darkmatter.audit.command_line import did_you_mean
from darkmatter.audit.compare import TOLERANCE, Comparison, compare
from darkmatter.audit.findings import AuditFinding
from darkmatter.audit.profiles import chosen, params_of
from darkmatter.experiments.registry import Record, drawn, records
from darkmatter.figures import FIGURES as ENTRIES
from darkmatter.figures import figure_data
from darkmatter.ledger.claims import CLAIMS, Claim, load_claims, present_hashes
from darkmatter.ledger.estimands.evidence import Evidence
from darkmatter.ledger.estimands.gather import gather
from darkmatter.ledger.judge import claim_row, prediction_row, summary_of
from darkmatter.ledger.predictions import Prediction
from darkmatter.ledger.verdicts import subject_of
from darkmatter.params.schema import Params
from darkmatter.report.claims import component, outcome_words
from darkmatter.results.headline import headline_metrics
from darkmatter.results.load import Results, load_results
from darkmatter.results.plot_rows import plot_rows
from darkmatter.statistics.sae_estimates import HookpointSums, sae_estimates
from darkmatter.storage.artifacts import ArtifactError, plain, read_arrays, read_json
from darkmatter.storage.packed_sums import select
from darkmatter.storage.paths import reports_of


@dataclass
class Derived:
    """One file, or one row of claims.json, with what came of it.

    Attributes:
        lacking: why there is nothing to compare with.
        row: of claims.json as derived, of a claim or prediction.
    """

    name: str
    path: str
    comparison: Comparison = field(default_factory=Comparison)
    lacking: str | None = None
    row: dict[str, Any] | None = None

    @property
    def empty(self) -> bool:
        """Whether it holds no number to derive, and nothing of it is wrong or lacking."""
        return not (self.comparison.derived or self.comparison.differing or self.lacking)

    def summary(self) -> str:
        """One line: how many numbers came out the same."""
        result = self.comparison
        close = f", {result.close} of them within {TOLERANCE:g}" if result.close else ""
        given = f"; {result.given} given, not derived" if result.given else ""
        wrong = f"; {len(result.differing)} DIFFER" if result.differing else ""
        return f"{self.name}: {result.derived} numbers derived again{close}{given}{wrong} ({self.path})"

    def findings(self) -> Iterator[AuditFinding]:
        for place, committed, derived in self.comparison.differing:
            yield AuditFinding(
                "differs", f"{self.path}: {place}", f"committed {brief(committed)}, derived {brief(derived)}"
            )
        if self.lacking:
            yield AuditFinding("missing", self.path, f"{self.name}: {self.lacking}")


def overall(done: Sequence[Derived]) -> str:
    """One line of everything that was derived."""
    count = {name: sum(getattr(item.comparison, name) for item in done) for name in ("derived", "equal", "close")}
    wrong = sum(len(item.comparison.differing) for item in done)
    lacking, empty = sum(item.lacking is not None for item in done), [item.name for item in done if item.empty]
    said = f"in all: {count['derived']} numbers derived again, {count['equal']} to the last bit"
    said += f" and {count['close']} within {TOLERANCE:g}" if count["close"] else ""
    said += f"; {wrong} DIFFER" if wrong else "; none differs"
    said += f"; {lacking} of {len(done)} are not among what was judged" if lacking else ""
    return said + (f"; no numbers to derive: {', '.join(empty)}" if empty else "")


def brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def as_content(item: Derived) -> dict[str, Any]:
    """As JSON types."""
    result = item.comparison
    counts = {"equal": result.equal, "close": result.close, "given": result.given, "differing": len(result.differing)}
    return {"name": item.name, "path": item.path, **counts, "lacking": item.lacking, "row": item.row}


def values_of(item: Derived) -> list[str]:
    """Every number as derived, with its place, a line each."""
    return [f"  {place} = {value!r}" for place, value in item.comparison.values]


def numbers_of(item: Derived) -> list[str]:
    """Numbers of a claim or prediction and what came of it as derived, a line each."""
    if item.row is None:
        return []
    predicted = "says" in item.row
    judged = item.row["rule"].get("real" if predicted else item.row["judged_by"]) or {}
    lines = []
    words = item.row["outcomes"] if predicted else outcome_words(item.row["outcomes"])
    for one in (
        component(name.replace("_", " "), result, name in judged, words.get(name))
        for name, result in item.row["components"].items()
    ):
        alone = f": {one['outcome']}" if one["outcome"] else ""
        lines.append(f"  {one['label']}: {one['text']}" + (f" ({one['n']})" if one["n"] else "") + alone)
        lines += [f"    {part['key']}: {part['text']}" for part in one["all"]]
    if predicted:
        reason = f": {item.row['reason']}" if item.row["reason"] else ""
        return [*lines, f"  outcome {item.row['outcome'] or 'none'}{reason}"]
    for variant, result in item.row["variants"].items():
        shown = [
            component(name.replace("_", " "), part, True)
            for name, part in result["components"].items()
            if name in judged
        ]
        lines.append(
            f"  {variant}: {result['outcome']}; " + "; ".join(f"{one['label']} {one['text']}" for one in shown)
        )
    return [*lines, f"  verdict {item.row['verdict']}, analogue {item.row['analogue']}"]


class Deriver:
    """Opens what it needs, once. Paths are those of the repository in the working directory.

    Args:
        profile: whose reports; None: that of params.yaml.
    """

    def __init__(self, profile: str | None = None) -> None:
        self.params: Params = params_of(chosen(profile, Path()), Path())
        self.reports = reports_of(self.params.profile)
        self.made_again: dict[str, tuple[Path, Any, Any]] = {}  # results of experiments

    @cached_property
    def evidence(self) -> Evidence:
        return gather(self.params)

    @cached_property
    def results(self) -> Results:
        return load_results(self.reports.results, self.params.hookpoints, drawn())

    @cached_property
    def claims(self) -> dict[str, Claim]:
        return {claim.id: claim for claim in load_claims(CLAIMS).claims}

    @cached_property
    def predictions(self) -> dict[str, Prediction]:
        return {prediction.id: prediction for prediction in load_claims(CLAIMS).predictions}

    @cached_property
    def predicted(self) -> dict[str, dict[str, Any]]:
        """As committed; none in a file from before there were any."""
        return {row["id"]: row for row in read_json(self.reports.claims).get("predictions", [])}

    @cached_property
    def judged(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in read_json(self.reports.claims)["claims"]}

    @cached_property
    def records(self) -> dict[str, Record]:
        """The experiments whose results can be made again."""
        return {name: record for name, record in records().items() if record.derive}

    def names(self) -> list[str]:
        """Everything that can be derived, the rows of claims and predictions one by one last."""
        made = ["decomposition", *self.records, "metrics", "plots", *(entry.id for entry in ENTRIES)]
        return [*made, *self.claims, *self.predictions]

    def derive(self, name: str) -> list[Derived]:
        """Make what is asked for again, with what it rests on.

        Raises:
            ArtifactError: there is nothing of that name, or a file it needs is missing or damaged.
        """
        if name == "claims":
            rows = [self.claim(claim) for claim in self.claims.values()]
            predictions = [self.prediction(prediction) for prediction in self.predictions.values()]
            return [*rows, *predictions, self.counts([item.row for item in rows])]
        if name in self.claims:
            claim = self.claims[name]
            return [*self.behind(claim), self.claim(claim)]
        if name in self.predictions:
            prediction = self.predictions[name]
            return [*self.behind(prediction), self.prediction(prediction)]
        if name == "decomposition":
            return [self.hookpoint(hookpoint) for hookpoint in self.params.hookpoints]
        if name in self.records:
            return [self.experiment(name)]
        if name == "metrics":
            return [self.made("metrics", self.reports.metrics, headline_metrics(self.results, self.params))]
        if name == "plots":
            rows = plot_rows(self.results, self.params)
            return [self.made(name, self.reports.plots / f"{name}.json", content) for name, content in rows.items()]
        for entry in ENTRIES:
            if entry.id == name:
                content = figure_data(entry, self.results, self.params)
                return [self.made(name, self.reports.figures / f"{name}.json", content)]
        hint = did_you_mean(name, self.names()) or "."
        raise ArtifactError(f"nothing is called {name!r}{hint} `darkmatter audit derive --list` names everything")

    def made(self, name: str, path: Path, content: Any) -> Derived:
        return Derived(name, path.as_posix(), compare(read_json(path), plain(content)))

    def claim(self, claim: Claim) -> Derived:
        path, row = self.reports.claims.as_posix(), plain(claim_row(claim, self.evidence, subject_of(self.params)))
        if claim.id not in self.judged:
            return Derived(claim.id, path, lacking=f"{path} does not have it: `dvc repro claims`")
        return Derived(claim.id, path, compare(self.judged[claim.id], row, f"claims[{claim.id}]"), row=row)

    def same_rule(self, claim: Claim) -> bool:
        """Whether the rule of the ledger is the one that judged a claim; it may be of a later edition."""
        return self.judged.get(claim.id, {}).get("rule_sha256") in present_hashes(claim)

    def behind(self, judged: Claim | Prediction) -> list[Derived]:
        """The results that a claim or prediction is judged on, where they can be made again."""
        return [self.experiment(judged.experiment)] if judged.experiment in self.records else []

    def prediction(self, prediction: Prediction) -> Derived:
        path, row = self.reports.claims.as_posix(), plain(prediction_row(prediction, self.evidence))
        if prediction.id not in self.predicted:
            return Derived(prediction.id, path, lacking=f"{path} does not have it: `dvc repro claims`")
        committed = self.predicted[prediction.id]
        return Derived(prediction.id, path, compare(committed, row, f"predictions[{prediction.id}]"), row=row)

    def counts(self, rows: list[dict[str, Any] | None]) -> Derived:
        """What claims.json says of all claims together, and rows of claims and predictions that the ledger lacks.

        Args:
            rows: as derived, in the order of the ledger; for None, which claims.json lacks, nothing counts.
        """
        derived = summary_of([row or {} for row in rows], self.params.profile, subject_of(self.params))
        whole = {
            key: value for key, value in read_json(self.reports.claims).items() if key not in ("claims", "predictions")
        }
        result = compare(whole, derived)
        lost = [f"claims[{name}]" for name in self.judged.keys() - self.claims]
        lost += [f"predictions[{name}]" for name in self.predicted.keys() - self.predictions]
        result.differing += [(place, "a row", f"none in {CLAIMS}") for place in lost]
        return Derived("counts", self.reports.claims.as_posix(), result)

    def experiment(self, name: str) -> Derived:
        """Make the results of an experiment again from its sums."""
        path, committed, derived = self.again(name)
        return Derived(name, path.as_posix(), compare(committed, derived))

    def again(self, name: str) -> tuple[Path, Any, Any]:
        """(path, committed results, the same made again): once, for all who ask."""
        if name in self.made_again:
            return self.made_again[name]
        record = self.records[name]
        path, files = record.results(self.params.profile), record.sums(self.params.profile)
        committed = read_json(path)
        sums = {file: read_arrays(place) for file, place in files.items()}
        try:
            derived = plain(record.derive(sums, committed, self.params))
        except KeyError as error:
            raise ArtifactError(f"{path} or its sums lack {error}. Run `dvc repro {name}` to make them.") from None
        self.made_again[name] = path, committed, derived
        return self.made_again[name]

    def hookpoint(self, hookpoint: str) -> Derived:
        """The estimates of every SAE of a hookpoint."""
        path = (self.reports.decomposition / f"{hookpoint}.json").as_posix()
        committed = self.evidence.results.decomposition[hookpoint]
        arrays = read_arrays(self.reports.sums / f"{hookpoint}.npz")
        rank = {name: int(fit["rank"]) for name, fit in committed["regressions"].items()}
        bootstrap = self.params.decomposition.bootstrap.model_dump()
        named, summed = {sae["name"] for sae in committed["saes"]}, {key.split("/")[0] for key in arrays if "/" in key}
        if named != summed:
            apart = ("saes", sorted(named - summed), sorted(summed - named))  # of the results only, of the sums only
            return Derived(hookpoint, path, Comparison(differing=[apart]))
        shared = HookpointSums(arrays["rows"], arrays["square"], arrays["cross"], rank, bootstrap)
        saes = []
        for sae in committed["saes"]:
            own = select(arrays, sae["name"])
            facts = {"l0": float(own["sum/l0"][-1].sum() / shared.rows[-1].sum())}
            saes.append(facts | {"estimates": sae_estimates(shared, own)})
        return Derived(hookpoint, path, compare(committed, plain({"saes": saes})))
