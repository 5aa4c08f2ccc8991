"""The report of the default profile, made by the stage itself from the committed artifacts, in a folder of its own."""

import atexit
import contextlib
import functools
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / "tests" / "support"),
    str(ROOT / "tests" / "fakes"),
]  # pytest puts it there only where it collects from it

from profiles import composed, profile_params  # noqa: E402

import stages.report  # noqa: E402
from darkmatter.experiments.registry import drawn  # noqa: E402
from darkmatter.figures import write_figures  # noqa: E402
from darkmatter.params.schema import load_params  # noqa: E402
from darkmatter.results.load import load_results  # noqa: E402
from darkmatter.runner.stage import Stage  # noqa: E402
from darkmatter.storage.paths import REPORT, reports_of  # noqa: E402

OWN = reports_of("smollm2")


def report_folder(folder: Path) -> Path:
    """What stands in the repository: `reports/` copied, the rest linked, parameters of the default profile.

    Its figures are drawn by the code that is here, from the committed results: the committed ones may be of older code.
    """
    for path in ROOT.iterdir():
        if path.name not in {"reports", "params.yaml", "data"} and not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    shutil.copytree(ROOT / "reports", folder / "reports", ignore=shutil.ignore_patterns(REPORT.name))
    (folder / "params.yaml").write_text(composed("smollm2"), encoding="utf-8")
    for path in figures_here().iterdir():
        shutil.copy(path, folder / OWN.figures)
    return folder


@functools.cache
def figures_here() -> Path:
    """A folder with every figure of the committed results, drawn once for all tests of this process."""
    folder = Path(tempfile.mkdtemp(prefix="figures-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    params = profile_params("smollm2")
    write_figures(load_results(ROOT / OWN.results, params.hookpoints, drawn()), params, folder)
    return folder


def run_report(folder: Path) -> Path:
    """Run the stage in this folder; returns the page."""
    with contextlib.chdir(folder):
        stages.report.main(Stage("report", load_params(), Path(stages.report.__file__)))
    return folder / REPORT
