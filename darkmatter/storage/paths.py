"""Where every artifact stands, relative to the repository. `data/` is DVC's, `reports/` is for people."""

from dataclasses import dataclass
from pathlib import Path

DATA = Path("data")
CORPUS = DATA / "corpus"
MODEL = DATA / "model"
TOKENS = DATA / "tokens"
ACTIVATIONS = DATA / "activations"
SAES = DATA / "saes"
CODES = DATA / "codes"
# One folder per profile: DVC leaves files of hookpoints that another profile has, and a folder that is a dependency
# must hold the configured ones alone. Sums have one so that each profile's reports are held against its own.
DECOMPOSITION = DATA / "decomposition"
HOOKPOINT_RESULTS = DATA / "results"

MANIFESTS = Path("conf/manifests")  # lists of published SAEs, with their revisions and SHA-256s

REPORTS = Path("reports")
REPORT = REPORTS / "report.html"


@dataclass(frozen=True)
class ReportFolder:
    """What the run of one profile leaves for people.

    Attributes:
        path: of the folder, `reports/PROFILE`.
    """

    path: Path

    @property
    def results(self) -> Path:
        """A JSON file for each experiment, and beside it the sums that it follows from."""
        return self.path / "results"

    @property
    def decomposition(self) -> Path:
        """A JSON file for each hookpoint."""
        return self.results / "decomposition"

    @property
    def sums(self) -> Path:
        """What those of `decomposition` follow from."""
        return self.results / "sums"

    @property
    def claims(self) -> Path:
        return self.path / "claims.json"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def receipts(self) -> Path:
        return self.path / "receipts"

    @property
    def lock(self) -> Path:
        """The dvc.lock of the run, while params.yaml has another profile."""
        return self.path / "dvc.lock"


def reports_of(profile: str) -> ReportFolder:
    return ReportFolder(REPORTS / profile)


# Where commits from before each profile had its folder hold the reports of the one that they have.
BEFORE_FOLDERS = ReportFolder(REPORTS)


def receipts_of_every_profile() -> list[Path]:
    return sorted(path for folder in REPORTS.glob("*/") for path in ReportFolder(folder).receipts.glob("*.json"))


def within_reports(path: str) -> str:
    """`results/pursuit.json` of `reports/PROFILE/results/pursuit.json`: as claims.yaml names it for every profile."""
    return "/".join(path.split("/")[2:])
