"""docs/faults.md, made of reports/reliability.json.

python -m tests.faults.page      # writes the page again and prints the README's sentence; a test compares both
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from darkmatter.storage.artifacts import read_json, write_json, write_text
from darkmatter.storage.document_tables import lines
from darkmatter.storage.paths import REPORTS
from tests.faults.trial import LOST, REFUSED, SURVIVED, UNCLEAR, WRONG
from tests.mutants import page as of_mutants

RESULT, PAGE = REPORTS / "reliability.json", Path("docs/faults.md")
GROUPS = {
    "files": "Each reader of files, given files that are cut short, flipped, hostile, or pickles with a canary.",
    "parameters": "Each section of params.yaml, given what cannot be run.",
    "hub": "A model hub on this machine that fails. SHA-256s are pinned, and a token is set that must not leave.",
    "hard_numbers": "Least squares against scipy.linalg.lstsq, coverage of intervals, and what must change nothing.",
    "outputs": "Outputs, committed results, cache and remote with a bit flipped, before an audit of every byte.",
    "kills": "SIGKILL at random moments; then `dvc repro` must end with the hashes of an undisturbed run.",
    "ray_kills": "SIGKILL on a Ray cluster of two nodes; the stage, or its second run, must end with the same hashes.",
    "surroundings": "Machines as they are: full, small, in other places, shared.",
    "read_only": "The workspace, or a part of it, where nobody can write; then `dvc repro` must end as if nothing was.",
    "rebuild": "The profile smoke in two fresh clones; a stage made nondeterministic, before the audit runs it again.",
}
HEAD = ["fault", "done to", "injected", "survived", "refused clearly", "silently wrong", "bytes lost", "recovery"]
INTRODUCTION = """# Faults

Made by `make faults` from [reports/reliability.json](../reports/reliability.json), which has every case with its
outcome and message; do not edit. A fault is *survived* where the result is what it would have been without it, and
*refused clearly* where there is one line that says what is wrong, in place of a traceback. *Silently wrong* is another
result of which nobody said so; *bytes lost* are of outputs that were finished. *Recovery* is the longest time until all
was right again. A sample of the cases runs in the ordinary tests.
"""

Content = Mapping[str, Any]


def page(content: Content) -> str:
    """The whole page."""
    trials, runs = content["trials"], content["runs"]
    machines = "; ".join(dict.fromkeys(of_mutants.where(run["machine"]) for run in runs.values()))
    parts = [INTRODUCTION, f"{sum_of(trials)} On {machines}."]
    for group, title in GROUPS.items():
        if own := [trial for trial in trials if trial["group"] == group]:
            heading = f"## {group.replace('_', ' ').capitalize()}"
            parts += [heading, f"{title}{took(runs[group]['seconds'])}", lines(HEAD, table(own))]
    if bad := [trial for trial in trials if trial["outcome"] not in (SURVIVED, REFUSED)]:
        parts += ["## Neither survived nor refused clearly"]
        parts += ["\n".join(f"- {each['fault']}, {each['target']}: {each['says'] or each['outcome']}" for each in bad)]
    if "mutants" in content:
        parts += of_mutants.part(content["mutants"])
    return "\n\n".join(part.strip() for part in parts) + "\n"


def took(seconds: float | None) -> str:
    """A sentence; nothing where it was not recorded."""
    if seconds is None:
        return ""
    return f" That took {seconds:.0f} seconds." if seconds < 90 else f" That took {seconds / 60:.0f} minutes."


def table(trials: Sequence[Content]) -> list[list[str]]:
    """One row for each fault, however many things it was done to."""
    rows = []
    for fault in dict.fromkeys(trial["fault"] for trial in trials):
        own = [trial for trial in trials if trial["fault"] == fault]
        targets = list(dict.fromkeys(trial["target"] for trial in own))
        seconds = [trial["seconds"] for trial in own if trial["seconds"] is not None]
        rows.append(
            [
                fault,
                targets[0] if len(targets) == 1 else f"{len(targets)} kinds",
                str(len(own)),
                *(str(count(own, outcome)) for outcome in (SURVIVED, REFUSED)),
                str(count(own, WRONG)),
                str(sum(trial["bytes_lost"] for trial in own)),
                f"{max(seconds):.0f} s" if seconds else "",
            ]
        )
    return rows


def count(trials: Sequence[Content], outcome: str) -> int:
    return sum(trial["outcome"] == outcome for trial in trials)


def sum_of(trials: Sequence[Content]) -> str:
    """The sentence with all counts; what is neither survived nor refused is named only where there is some."""
    lost = sum(trial["bytes_lost"] for trial in trials)
    unclear = count(trials, UNCLEAR) + count(trials, LOST)
    more = f", {unclear} without a clear line" if unclear else ""
    return (
        f"{len(trials)} faults injected: {count(trials, SURVIVED)} survived, {count(trials, REFUSED)} refused clearly, "
        f"{count(trials, WRONG)} silently wrong{more}, {lost} bytes lost."
    )


def sentence(content: Content) -> str:
    """What the README says."""
    trials = content["trials"]
    lost = sum(trial["bytes_lost"] for trial in trials)
    counts = f"{len(trials)} faults injected: {count(trials, WRONG)} silently wrong, {lost} bytes lost"
    if "mutants" in content:
        counts += f"; the tests caught {of_mutants.caught_at_first(content['mutants'])} planted bugs"
    return f"{counts} ([docs/faults.md](docs/faults.md))."


def summary(group: str, trials: Sequence[Content]) -> str:
    """One line for the terminal."""
    return f"{group}: {sum_of(trials)}"


def write_group(group: str, run: Content, trials: Sequence[Content]) -> Content:
    """Put one group in place of what the results file has of it.

    Args:
        run: `machine` and `seconds`.
    """
    content = read()
    tried = {name: [trial for trial in content.get("trials", []) if trial["group"] == name] for name in GROUPS}
    tried[group] = list(trials)
    runs = {**content.get("runs", {}), group: run}
    in_order = {name: runs[name] for name in GROUPS if name in runs}
    return write(runs=in_order, trials=[trial for name in GROUPS for trial in tried[name]])


def read() -> dict[str, Any]:
    return read_json(RESULT) if RESULT.is_file() else {}


def write(**sections: Any) -> Content:
    """Put sections into the results file in place of their earlier ones, write the page again, return all."""
    content = {**read(), **sections}
    write_json(RESULT, content)
    write_text(PAGE, page(content))
    return content


if __name__ == "__main__":
    write_text(PAGE, page(read_json(RESULT)))
    print(sentence(read_json(RESULT)))
