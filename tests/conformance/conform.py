"""`make conformance`: ask other packages the known answers, each in an environment of its own, and write the table.

An environment is this one with one package, at the version named here, before it: its own dependencies that are missing
are installed without theirs. So what is compared is the package's formula, with the same torch below it.
"""

import json
import subprocess
import sys
import sysconfig
import venv
from fractions import Fraction
from pathlib import Path

ROOT = Path(__file__).parents[2]
CASES, PAGE = ROOT / "docs" / "known_answers.json", ROOT / "docs" / "known-answers.md"
FOLDER = ROOT / ".venv" / "conformance"
MARKS = ("<!-- written by `make conformance` -->", "<!-- end of conformance -->")
SPARSIFY = ("natsort", "schedulefree", "simple-parsing", "docstring-parser")
SOCKETS = ("python-socketio", "python-engineio", "bidict", "simple-websocket", "wsproto")
NNSIGHT = ("nnsight==0.3.7", "zstandard", *SOCKETS)
SKLEARN = ("scikit-learn", "threadpoolctl", "joblib")
BENCH = ("collectibles", "sae-probes==0.4.0", *SKLEARN, "tabulate", "plotly", "narwhals")
# name, version → what it needs that this environment lacks
RIVALS = {
    ("sae-lens", "6.54.12"): (),
    ("sae-lens", "6.28.0"): (),
    ("eai-sparsify", "1.3.3"): SPARSIFY,
    ("sae-bench", "0.6.0"): BENCH,
    ("dictionary-learning", "0.1.0"): NNSIGHT,
}
CLOSE = 1e-4  # relative; packages compute in float32


def python_of(name: str, version: str) -> Path:
    """The interpreter of an environment that has this package; made at first use."""
    folder = FOLDER / f"{name}-{version}"
    python = folder / "bin" / "python"
    if not (folder / "ready").is_file():
        venv.create(folder, with_pip=True, clear=True)
        site = sysconfig.get_path("purelib", vars={"base": str(folder)})
        Path(site, "base.pth").write_text(sysconfig.get_path("purelib") + "\n")
        wanted = [f"{name}=={version}", *RIVALS[name, version]]
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", *wanted], check=True)
        (folder / "ready").touch()
    return python


def ask(name: str, version: str) -> dict[str, float | str]:
    """What a package answers to each case, or the error it raises."""
    command = [python_of(name, version), Path(__file__).with_name("rival.py"), name, CASES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def cell(result: float | str, wanted: str | None) -> str:
    """An answer, in bold where it is another one than the known."""
    if isinstance(result, str):
        return result if wanted is None else f"**{result}**"
    known = None if wanted is None else float(Fraction(wanted))
    right = known is not None and abs(result - known) <= CLOSE * max(abs(known), CLOSE)
    text = f"{result:.4g}".replace("-", "−")
    return text if right else f"**{text}**"


def table(answers: dict[str, dict[str, float | str]]) -> str:
    lines = ["| case | known, pooled | " + " | ".join(answers) + " |", "|---" * (2 + len(answers)) + "|"]
    for case in json.loads(CASES.read_text(encoding="utf-8")):
        known = case["fvu_pooled"]
        shown = "none" if known is None else f"{float(Fraction(known)):.4g}"
        cells = [cell(answer[case["name"]], known) for answer in answers.values()]
        lines.append(f"| {case['name']} | {shown} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    answers = {}
    for name, version in RIVALS:
        print(f"{name} {version}", file=sys.stderr)
        try:
            answers[f"{name} {version}"] = ask(name, version)
        except subprocess.CalledProcessError as error:
            last = (error.stderr or "").strip().splitlines()[-1:] or ["it could not be installed"]
            print(f"  left out: {last[0]}", file=sys.stderr)
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    PAGE.write_text(f"{before}{MARKS[0]}\n\n{table(answers)}\n\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
