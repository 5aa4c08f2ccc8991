"""The script of DVC's page of plots: Vega, from the installed package, and what draws with it (.dvc/plots/draw.js).

The page itself is .dvc/plots/page.html, which `plots.html_template` in .dvc/config names.
Run: python -m darkmatter.report.plots_page
"""

from pathlib import Path

import vl_convert

from darkmatter.storage.artifacts import write_text

DRAW = Path(".dvc/plots/draw.js")
SCRIPT = Path("dvc_plots/plots.js")  # git-ignored; DVC writes index.html beside it


def write_script(root: Path = Path()) -> Path:
    """Bundle Vega with the drawing code, wrapped so that it leaves no global names."""
    bundle = vl_convert.javascript_bundle((root / DRAW).read_text(encoding="utf-8"))
    path = root / SCRIPT
    write_text(path, f"(() => {{\n{bundle}\n}})();\n")
    return path


if __name__ == "__main__":
    write_script()
