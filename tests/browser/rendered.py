"""The report of the default profile, made by the stage itself from the committed artifacts, in a folder of its own."""

import contextlib
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / "tests" / "support"),
    str(ROOT / "tests" / "fakes"),
]  # pytest puts it there only where it collects from it

from profiles import composed  # noqa: E402

import stages.report  # noqa: E402
from darkmatter.figures import FIGURES, figure_data, figure_svg  # noqa: E402
from darkmatter.figures.style import Style  # noqa: E402
from darkmatter.params.schema import load_params  # noqa: E402
from darkmatter.results.load import load_results  # noqa: E402
from darkmatter.runner.stage import Stage  # noqa: E402
from darkmatter.storage.artifacts import write_json, write_text  # noqa: E402
from darkmatter.storage.paths import REPORT  # noqa: E402


def report_folder(folder: Path) -> Path:
    """What stands in the repository: `reports/` copied, the rest linked, parameters of the default profile."""
    for path in ROOT.iterdir():
        if path.name not in {"reports", "params.yaml", "data"} and not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    shutil.copytree(ROOT / "reports", folder / "reports", ignore=shutil.ignore_patterns(REPORT.name))
    (folder / "params.yaml").write_text(composed("smollm2"), encoding="utf-8")
    return folder


def draw_again(folder: Path, name: str) -> None:
    """Draw a figure of the decomposition with the code that is here; the committed one may be of older code."""
    with contextlib.chdir(folder):
        params = load_params()
        data = figure_data(ENTRIES[name], load_results(Path("reports/results"), params.hookpoints, []), params)
        write_json(Path(f"reports/figures/{name}.json"), data)
        write_text(
            Path(f"reports/figures/{name}.svg"), figure_svg(ENTRIES[name], data, Style(params.figures.font_size))
        )


ENTRIES = {entry.id: entry for entry in FIGURES}


def run_report(folder: Path) -> Path:
    """Run the stage in this folder; returns the page."""
    with contextlib.chdir(folder):
        stages.report.main(Stage("report", load_params(), Path(stages.report.__file__)))
    return folder / REPORT
