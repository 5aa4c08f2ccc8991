"""Where every artifact stands, relative to the repository. `data/` is DVC's, `reports/` is for people."""

from pathlib import Path

DATA = Path("data")
CORPUS = DATA / "corpus"
MODEL = DATA / "model"
TOKENS = DATA / "tokens"
ACTIVATIONS = DATA / "activations"
SAES = DATA / "saes"
CODES = DATA / "codes"
# One folder per profile: DVC leaves files of hookpoints that another profile has, and a folder that is a dependency
# must hold the configured ones alone.
DECOMPOSITION = DATA / "decomposition"
HOOKPOINT_RESULTS = DATA / "results"

MANIFESTS = Path("conf/manifests")  # lists of published SAEs, with their revisions and SHA-256s

REPORTS = Path("reports")
RESULTS = REPORTS / "results"
FIGURES = REPORTS / "figures"
RECEIPTS = REPORTS / "receipts"
METRICS = REPORTS / "metrics.json"
REPORT = REPORTS / "report.html"
