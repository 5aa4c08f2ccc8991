"""Whether a prediction came before its result, asked of repositories in which it did and in which it did not."""

from pathlib import Path

import pytest
import toy
import yaml

from darkmatter.audit.history import committed_profiles
from darkmatter.audit.predictions import prediction_findings
from darkmatter.ledger.claims import CLAIMS, load_claims
from darkmatter.ledger.predictions import prediction_sha256
from darkmatter.storage.artifacts import read_json, write_json
from darkmatter.storage.paths import reports_of

ROOT = Path(__file__).parents[2]
PREDICTION = {
    "id": "few-directions",
    "says": "Three directions hold more than half.",
    "why": "a guess",
    "profiles": ["smollm2"],
    "estimand": {"name": "share", "computes": "the share", "results": ["results/spread.json"]},
    "rule": {"test": "inside", "level": 0.95, "resample": ["context"], "real": {"share": {"low": 0.5}}},
    "experiment": "spread",
}
LEDGER = {
    "paper": {"title": "T", "sha256": "0" * 64, "characters": 1},
    "editions": [{"number": 1, "date": "2026-01-01", "why": "the first"}],
    "tested": 0,
    "tests": {"inside": {"agrees": "a", "disagrees": "b", "inconclusive": "c"}},
    "conventions": {},
    "claims": [],
}

REPORTS = reports_of("smoke")


class Repository:
    """A ledger, and results of an experiment that runs at whatever commit is there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        toy.git(root, "init", "-q")
        self.predict()
        self.commit()

    def commit(self) -> str:
        toy.git(self.root, "add", "--force", "--all")
        toy.git(self.root, "commit", "-q", "--allow-empty", "-m", "a commit")
        return toy.git(self.root, "rev-parse", "HEAD").decode().strip()

    def predict(self, *predictions: dict) -> None:
        (self.root / CLAIMS).write_text(yaml.safe_dump(LEDGER | {"predictions": [*predictions]}, sort_keys=False))

    def experiment(self, dirty: str = "") -> None:
        """Run the experiment at this commit."""
        revision = toy.git(self.root, "rev-parse", "HEAD").decode().strip()
        write_json(self.root / REPORTS.receipts / "spread.json", {"stage": "spread", "revision": revision + dirty})

    def judge(self, outcome: str | None = "agrees") -> None:
        rows = [
            {"id": one.id, "sha256": prediction_sha256(one), "experiment": one.experiment, "outcome": outcome}
            for one in load_claims(self.root / CLAIMS).predictions
        ]
        write_json(self.root / REPORTS.claims, {"profile": "smoke", "claims": [], "predictions": rows})

    def findings(self) -> list[tuple[str, str]]:
        return [(finding.kind, finding.message) for finding in prediction_findings(self.root)]


@pytest.fixture
def repository(tmp_path) -> Repository:
    return Repository(tmp_path)


@pytest.mark.parametrize("dirty", ["", "+"])
def test_a_prediction_before_its_run_is_fine(repository, dirty):
    repository.predict(PREDICTION)
    repository.commit()
    repository.experiment(dirty)
    repository.judge()
    assert repository.findings() == []  # the run at the prediction's own commit, results in no commit yet
    repository.commit()
    repository.experiment()
    repository.judge("disagrees")
    repository.commit()
    assert repository.findings() == []


def test_a_prediction_after_its_run_is_found(repository):
    repository.experiment()
    ran = repository.commit()
    repository.predict(PREDICTION)
    late = repository.commit()
    repository.judge()
    ((kind, message),) = repository.findings()
    assert kind == "rule-changed" and late[:12] in message and "came after its result" in message
    assert ran[:12] not in message  # the run was at the commit before the one that holds its receipt


def test_another_run_does_not_make_a_late_prediction_an_early_one(repository):
    repository.experiment()
    repository.commit()
    repository.predict(PREDICTION)
    repository.commit()
    repository.judge()
    repository.commit()
    repository.experiment()
    repository.judge()
    repository.commit()
    assert [kind for kind, _ in repository.findings()] == ["rule-changed"]


def test_a_prediction_on_another_branch_than_its_run_did_not_come_first(repository):
    start = repository.commit()
    toy.git(repository.root, "checkout", "-q", "-b", "predicted")
    repository.predict(PREDICTION)
    repository.commit()
    toy.git(repository.root, "checkout", "-q", "-b", "ran", start)
    repository.experiment()
    repository.commit()
    toy.git(repository.root, "merge", "-q", "--no-edit", "predicted")
    repository.judge()
    assert [kind for kind, _ in repository.findings()] == ["rule-changed"]


CHANGED = PREDICTION | {"says": "Three directions hold less than half."}


@pytest.mark.parametrize(
    ("after", "message"), [([CHANGED], "another statement or rule"), ([], "no longer has this prediction")]
)
def test_a_prediction_that_changes_once_it_was_judged_is_found(repository, after, message):
    repository.predict(PREDICTION)
    repository.commit()
    repository.experiment()
    repository.judge()
    repository.commit()
    repository.predict(*after)
    repository.commit()
    repository.experiment()
    repository.judge()
    repository.commit()
    assert [(kind, message in said) for kind, said in repository.findings()] == [("rule-changed", True)]


def test_a_prediction_may_change_before_it_is_judged(repository):
    repository.predict(PREDICTION)
    repository.commit()
    repository.judge(None)
    repository.commit()
    repository.predict(CHANGED)
    repository.commit()
    repository.experiment()
    repository.judge()
    assert repository.findings() == []


def test_a_judged_prediction_that_no_commit_holds_is_found(repository):
    repository.predict(PREDICTION)
    repository.experiment()
    repository.judge()
    ((kind, message),) = repository.findings()
    assert kind == "rule-changed" and "no commit holds it" in message


@pytest.mark.parametrize("receipt", [None, {"stage": "spread", "revision": "0" * 40}, {"revision": None}])
def test_an_unknown_revision_is_said(repository, receipt):
    repository.predict(PREDICTION)
    repository.commit()
    if receipt:
        write_json(repository.root / REPORTS.receipts / "spread.json", receipt)
    repository.judge()
    ((kind, message),) = repository.findings()
    assert kind == "missing" and "the order is not known" in message


def test_outside_git_nothing_is_said(tmp_path):
    (tmp_path / CLAIMS).write_text(yaml.safe_dump(LEDGER | {"predictions": [PREDICTION]}, sort_keys=False))
    write_json(tmp_path / REPORTS.claims, {"claims": [], "predictions": []})
    assert list(prediction_findings(tmp_path)) == []


def test_every_prediction_here_came_before_the_run_that_judges_it():
    assert list(prediction_findings(ROOT)) == []


def test_no_experiment_of_a_prediction_here_has_results_that_are_not_judged():
    """Else a prediction that nothing judges would pass for one that came first."""
    for profile in committed_profiles(ROOT):
        reports = reports_of(profile)
        made = {row["id"] for row in read_json(ROOT / reports.claims).get("predictions", []) if row["outcome"]}
        for prediction in load_claims(ROOT / CLAIMS).predictions:
            results = ROOT / reports.results / f"{prediction.experiment}.json"
            ran = results.exists() and read_json(results)["estimands"]  # empty of an experiment that is off
            assert not (ran and profile in prediction.profiles) or prediction.id in made
