"""Where every artifact stands, relative to the repository. `data/` is DVC's, `reports/` is for people."""

from pathlib import Path

DATA = Path("data")
CORPUS = DATA / "corpus"
MODEL = DATA / "model"
TOKENS = DATA / "tokens"
ACTIVATIONS = DATA / "activations"
SAES = DATA / "saes"
CODES = DATA / "codes"
DECOMPOSITION = DATA / "decomposition"

REPORTS = Path("reports")
RESULTS = REPORTS / "results"
FIGURES = REPORTS / "figures"
RECEIPTS = REPORTS / "receipts"
METRICS = REPORTS / "metrics.json"
REPORT = REPORTS / "report.html"
