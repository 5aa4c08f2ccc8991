"""What bfloat16 products change, beside what another training seed and another CPU change.

    python -m darkmatter.audit.arithmetic_effect FLOAT32 BFLOAT16 [--cpu FOLDER] [--profile NAME]

Each is a folder with reports/ of a run of the profile (default: that of params.yaml): with float32 products, with
bfloat16 ones, and with float32 ones on another CPU. Writes reports/arithmetic.json, and the table that
docs/reliability.md has of it. Verdicts are compared where both folders have claims.json. `darkmatter compare` holds one
run against another, number by number.
"""

import argparse
import itertools
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from darkmatter.audit.reproduction import reproduction
from darkmatter.audit.runs import run_of_folder
from darkmatter.params.conventions import PRIMARY
from darkmatter.params.saes import ALIKE
from darkmatter.params.types import ParamsError
from darkmatter.runner.pipeline_file import profile_here
from darkmatter.storage.artifacts import ArtifactError, read_json, write_json, write_text
from darkmatter.storage.paths import REPORTS, reports_of

OUT = REPORTS / "arithmetic.json"
PAGE = Path("docs/reliability.md")
MARK, END = "<!-- arithmetic: python -m darkmatter.audit.arithmetic_effect -->", "<!-- end of arithmetic -->"
METRICS = {
    "fvu": "FVU",
    "fvu_nonlinear": "FVU_nonlinear",
    "vector_r2": "R² of the error vector",
    "norm_r2": "R² of its squared norm",
}
ORIGINS = {"arithmetic": "bfloat16 products", "seed": "another training seed", "cpu": "another CPU"}

Content = dict[str, Any]
Sae = Mapping[str, Any]
Pairs = Sequence[tuple[Sae, Sae]]


def saes_of(folder: Path, profile: str) -> dict[str, Sae]:
    """HOOKPOINT/NAME → SAE with its estimates, of every hookpoint of a run.

    Raises:
        ArtifactError: the folder has no results of the decomposition.
    """
    files = sorted((folder / reports_of(profile).decomposition).glob("*.json"))
    if not files:
        raise ArtifactError(f"{folder} has no {reports_of(profile).decomposition}. `make repro` makes it.")
    return {
        f"{file.stem}/{sae['name']}": {**sae, "hookpoint": file.stem}
        for file in files
        for sae in read_json(file)["saes"]
    }


def same_saes(one: Mapping[str, Sae], other: Mapping[str, Sae]) -> Pairs:
    """The SAEs that both runs trained.

    Raises:
        ArtifactError: there are none, or one was trained otherwise.
    """
    names = [name for name in one if name in other]
    if not names:
        raise ArtifactError("the two runs have no SAE in common")
    if unlike := [name for name in names if any(one[name][key] != other[name][key] for key in (*ALIKE, "seed"))]:
        raise ArtifactError(f"{unlike[0]} was trained otherwise in the two runs")
    return [(one[name], other[name]) for name in names]


def seed_pairs(saes: Mapping[str, Sae]) -> Pairs:
    """SAEs of one run that differ in their seed alone."""
    alike = lambda a, b: all(a[key] == b[key] for key in ("hookpoint", *ALIKE)) and a["seed"] != b["seed"]  # noqa: E731
    return [(a, b) for a, b in itertools.combinations(saes.values(), 2) if alike(a, b)]


def moved(pairs: Pairs, metric: str) -> Content | None:
    """How far a metric lies apart over pairs of SAEs; None where there are none."""
    split, convention = PRIMARY
    values = [[sae["estimates"][split][convention][metric]["value"] for sae in pair] for pair in pairs]
    far = [abs(b - a) for a, b in values if None not in (a, b)]
    return {"pairs": len(far), "median": statistics.median(far), "largest": max(far)} if far else None


def verdicts(float32: Path, bfloat16: Path, profile: str) -> Content | None:
    """Claims and those whose outcome differs; None where a run was not judged."""
    exact, rounded = run_of_folder(float32, "float32", profile), run_of_folder(bfloat16, "bfloat16", profile)
    if exact is None or rounded is None:
        return None
    result = reproduction(exact, rounded)
    return {"claims": len(result.there.claims["claims"]), "changed": sorted({one.claim for one in result.changed})}


def effect(float32: Path, bfloat16: Path, profile: str, cpu: Path | None = None) -> Content:
    """The content of arithmetic.json.

    Raises:
        ArtifactError: a folder has no results, or the runs have no SAE in common.
    """
    exact, rounded = saes_of(float32, profile), saes_of(bfloat16, profile)
    pairs = {"arithmetic": same_saes(exact, rounded), "seed": seed_pairs(exact)}
    pairs["cpu"] = same_saes(exact, saes_of(cpu, profile)) if cpu else []
    if not pairs["seed"]:
        raise ArtifactError(f"{float32} has no two SAEs that differ in their seed alone, so nothing to compare with")
    both = [sae for sae, _ in pairs["arithmetic"]]
    file = read_json(float32 / reports_of(profile).decomposition / f"{both[0]['hookpoint']}.json")
    metrics = {metric: {origin: moved(pairs[origin], metric) for origin in ORIGINS} for metric in METRICS}
    return {
        "model": file["model"],
        "hookpoints": sorted({sae["hookpoint"] for sae in both}),
        "eval_contexts": file["contexts"],
        "train_tokens": sorted({sae["train_tokens"] for sae in both}),
        "d_sae": sorted({sae["d_sae"] for sae in both}),
        "metrics": metrics,
        "beyond_the_seed": [name for name, row in metrics.items() if exceeds(row)],
        "verdicts": verdicts(float32, bfloat16, profile),
    }


def exceeds(row: Content) -> bool:
    return bool(row["arithmetic"]["largest"] > row["seed"]["largest"])


def table(content: Content) -> str:
    """What the page says: what was compared, a row for each metric, the verdicts."""
    listed = lambda values: ", ".join(f"{value:,}" if isinstance(value, int) else value for value in values)  # noqa: E731
    origins = [name for name in ORIGINS if content["metrics"]["fvu"][name]]
    counts = [content["metrics"]["fvu"][name]["pairs"] for name in origins]
    head = [f"{ORIGINS[name]} ({count})" for name, count in zip(origins, counts, strict=True)]
    lines = [
        f"{content['model']}, {listed(content['hookpoints'])}: SAEs with {listed(content['d_sae'])} latents trained on "
        f"{listed(content['train_tokens'])} tokens, scored on {content['eval_contexts']} contexts. Largest absolute "
        "difference, in brackets the median; the number of pairs stands in the head.",
        "",
        f"| | {' | '.join(head)} |",
        "| --- |" + " --- |" * len(head),
    ]
    for metric, words in METRICS.items():
        row = content["metrics"][metric]
        cells = [f"{row[name]['largest']:.1e} ({row[name]['median']:.1e})" for name in origins]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", said_of_verdicts(content["verdicts"]), said_of_seed(content["beyond_the_seed"])])


def said_of_verdicts(found: Content | None) -> str:
    if found is None:
        return "Verdicts were not compared: at least one of the runs judged no claims."
    changed = ", ".join(f"`{claim}`" for claim in found["changed"])
    return f"Of {found['claims']} claims, the outcome changed in {changed or 'none'}."


def said_of_seed(beyond: Sequence[str]) -> str:
    if not beyond:
        return "No metric moves farther than with another seed."
    return f"Farther than with another seed: {', '.join(METRICS[name] for name in beyond)}."


def renewed(text: str, content: Content) -> str:
    """The page with its table written again.

    Raises:
        ArtifactError: it has no place for the table.
    """
    before, mark, rest = text.partition(MARK)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ArtifactError(f"{PAGE} has no marks {MARK} and {END}. Run `git checkout {PAGE}`.")
    return f"{before}{MARK}\n{table(content)}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m darkmatter.audit.arithmetic_effect", description=__doc__)
    parser.add_argument("float32", type=Path)
    parser.add_argument("bfloat16", type=Path)
    parser.add_argument("--cpu", type=Path, help="a run with float32 products on another CPU")
    parser.add_argument("--profile", metavar="NAME", help="default: that of params.yaml")
    given = parser.parse_args(arguments)
    try:
        profile = given.profile or profile_here(Path())
        content = effect(given.float32, given.bfloat16, profile, given.cpu)
        text = renewed(PAGE.read_text(encoding="utf-8"), content)
    except (ArtifactError, ParamsError, OSError) as error:
        sys.exit(f"error: {error}")
    write_json(OUT, content)
    write_text(PAGE, text)
    print(table(content))


if __name__ == "__main__":
    main()
