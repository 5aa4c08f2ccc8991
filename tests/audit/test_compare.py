"""`darkmatter compare`: one run's reports against those of a revision or a folder."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import toy

from darkmatter.cli import main
from darkmatter.report.compared import COMPARED, judged_rows, page, read_compared
from darkmatter.storage.artifacts import read_json, write_json
from darkmatter.storage.paths import REPORTS, reports_of

ROOT = Path(__file__).parents[2]
OWN = reports_of("smollm2")
SEEDED = ("norm-r2-range", "r2", "resid_post.14/widths-2048-k32-s0")  # a width that was trained from two seeds
EXACT = ("lemma-bernoulli", "rho", "")
JUDGED = len(judged_rows(read_json(ROOT / OWN.claims)))


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """A repository whose HEAD holds the committed claims, receipts and decomposition."""
    folder = tmp_path_factory.mktemp("committed")
    for part in (Path("params.yaml"), OWN.claims, OWN.receipts, OWN.decomposition):
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / part, target) if (ROOT / part).is_dir() else shutil.copyfile(ROOT / part, target)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for words in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "reports")):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


@pytest.fixture
def run(committed, tmp_path, monkeypatch):
    """A clone of it to be changed at will, as the working directory."""
    shutil.copytree(committed, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compared(capsys, *words):
    """The exit code of `darkmatter compare`, and what it printed."""
    try:
        main(["compare", *words])
        code = 0
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr()
    return code, said.out + said.err


def in_json(capsys, *words):
    code, text = compared(capsys, "--json", *words)
    return code, json.loads(text)


def row_of(content, claim):
    return next(row for row in content["claims"] if row["id"] == claim)


def estimate(content, claim, component, key):
    results = row_of(content, claim)["components"][component]
    return next(one for one in results if one.get("sae", one.get("layer", "")) == key)


def edited(edit):
    content = read_json(OWN.claims)
    edit(content)
    write_json(OWN.claims, content)


def moved(number, shift):
    """The number with its interval and those of its parts, as an SAE of other weights would have it."""
    ends = [number, number["joint"], *number.get("intervals", {}).values()] if "joint" in number else [number]
    for part in ends:
        for name in ("value", "low", "high"):
            if name in part:
                part[name] += shift


def test_equal(run, capsys):
    code, text = compared(capsys)
    assert code == 0
    assert f"outcomes: all {JUDGED} claims and predictions the same" in text and "do not overlap" not in text
    assert ", 0 moved" in text and "none moved" in text
    assert text.splitlines()[-1].startswith("reproduced: every outcome is that of HEAD (")


def test_a_moved_digit_reproduces_and_is_counted(run, capsys):
    edited(lambda content: moved(estimate(content, *SEEDED), 1e-13))
    code, text = compared(capsys)
    assert code == 0 and ", 1 moved" in text and "do not overlap" not in text and "reproduced:" in text


def test_a_shift_is_told_in_standard_deviations_over_the_seeds(run, capsys):
    """Of two seeds the standard deviation is |one − other|/√2, here from the decomposition itself."""
    result = read_json(OWN.decomposition / "resid_post.14.json")
    twins = [sae for sae in result["saes"] if sae["name"] in ("widths-2048-k32-s0", "seeds-2048-k32-s1")]
    one, other = (sae["estimates"]["token"]["paper"]["norm_r2"]["value"] for sae in twins)
    spread = abs(one - other) / np.sqrt(2)
    edited(lambda content: moved(estimate(content, *SEEDED), 3 * spread))
    code, content = in_json(capsys)
    number = next(one for one in content["numbers"] if (one["claim"], one["component"], one["key"]) == SEEDED)
    assert number["seed_spread"] == pytest.approx(spread, rel=1e-6)
    assert number["in_seed_spreads"] == pytest.approx(3, rel=1e-6) and code == 0
    _, text = compared(capsys)
    shifts = text.partition("largest shifts in standard deviations over training seeds")[2].splitlines()
    assert shifts[1].split()[:3] == ["3.00", "norm-r2-range", "r2"]


def without_seed_terms(content):
    for row in content["claims"]:
        for one in (one for estimates in row["components"].values() for one in estimates):
            one.pop("of_seed", None)


def test_a_number_that_says_its_seeds_noise_is_measured_by_it(run, capsys):
    edited(lambda content: moved(estimate(content, "parts-self", "r2", ""), 1e-3))
    said = estimate(read_json(OWN.claims), "parts-self", "r2", "")["of_seed"]["deviation"]
    (number,) = (one for one in in_json(capsys)[1]["numbers"] if one["claim"] == "parts-self")
    assert number["seed_spread"] == said and number["in_seed_spreads"] == pytest.approx(1e-3 / said)


def test_where_no_sae_has_a_second_seed_it_says_so(run, capsys):
    path = OWN.decomposition / "resid_post.14.json"
    content = read_json(path)
    content["saes"] = [sae for sae in content["saes"] if sae["seed"] == 0]
    write_json(path, content)
    edited(without_seed_terms)
    shutil.copytree(REPORTS, "other/reports")
    edited(lambda content: moved(estimate(content, *SEEDED), 1e-4))
    code, text = compared(capsys, "other")
    assert code == 0 and "spread over training seeds: not known for any number of other" in text
    assert "half widths" in text and "norm-r2-range r2" in text.partition("half widths")[2]


def test_a_changed_outcome_of_a_prediction(run, capsys):
    def edit(content):
        row = next(row for row in content["predictions"] if row["outcome"] == "agrees")
        row["outcome"] = "disagrees"
        changed.append(row["id"])

    changed = []
    edited(edit)
    code, text = compared(capsys)
    assert code == 1 and f"  {changed[0]}: prediction agrees there, disagrees here\n" in text


def test_a_changed_outcome_of_a_component_alone(run, capsys):
    def edit(content):
        row = row_of(content, "ce-proportional")
        row["outcomes"]["linear_by_norm"] = {"verdict": row["verdict"], "analogue": "agrees"}

    before = row_of(read_json(OWN.claims), "ce-proportional")["outcomes"]["linear_by_norm"]["analogue"]
    edited(edit)
    code, text = compared(capsys)
    assert code == 1 and f"outcomes: changed in 1 of {JUDGED} claims and predictions" in text
    assert f"  ce-proportional linear_by_norm: analogue {before} there, agrees here\n" in text
    assert text.splitlines()[-1].startswith("NOT reproduced: outcomes of ce-proportional are not those of HEAD")


def test_a_changed_outcome_by_another_rule_and_a_claim_left_out(run, capsys):
    def edit(content):
        row = row_of(content, "fvu-nl-flat")
        row |= {"analogue": "agrees", "rule_sha256": "0" * 64}
        content["claims"] = [row for row in content["claims"] if row["id"] != "asymptote-gap"]

    edited(edit)
    code, content = in_json(capsys)
    changed = {(one["claim"], one["component"]): one for one in content["changed"]}
    assert code == 1 and not content["same_outcomes"]
    assert changed["fvu-nl-flat", None]["other_rule"] and changed["fvu-nl-flat", None]["here"][1] == "agrees"
    assert changed["asymptote-gap", None]["here"] is None
    assert "asymptote-gap: only there" in compared(capsys)[1]


def test_disjoint_intervals_with_the_same_outcome(run, capsys):
    def edit(content):
        number = estimate(content, *SEEDED)
        moved(number, number["low"] - number["high"] - 0.01)

    edited(edit)
    code, text = compared(capsys)
    assert code == 0 and " do not overlap\n  norm-r2-range r2 " in text.partition("intervals: 1 of ")[2]


def test_exact_numbers_that_rounding_sets_apart_are_not_disjoint(run, capsys):
    edited(lambda content: moved(estimate(content, *EXACT), 1e-14))
    assert "do not overlap" not in compared(capsys)[1]
    edited(lambda content: moved(estimate(content, *EXACT), 1e-3))
    assert "intervals: 1 of " in compared(capsys)[1]


def test_a_number_that_is_no_longer_defined(run, capsys):
    edited(lambda content: estimate(content, *SEEDED).update(value=None, low=None, high=None, reason="no variance"))
    code, text = compared(capsys)
    assert code == 0 and f"  {' '.join(SEEDED)}: only HEAD (" in text


def test_another_profile_is_one_line(run, capsys):
    other = reports_of("smoke")
    write_json(other.claims, read_json(OWN.claims) | {"profile": "smoke"})
    code, text = compared(capsys, "--profile", "smoke")
    assert code == 1 and text == "nothing to compare with: HEAD has no run of profile smoke\n"
    code, content = in_json(capsys, "--profile", "smoke")
    assert code == 1 and not content["comparable"] and "nothing to compare with" in content["reason"]


def test_a_folder_with_another_machine(run, capsys):
    shutil.copytree(REPORTS, "theirs/reports")
    for path in (Path("theirs") / OWN.receipts).glob("*.json"):
        receipt = read_json(path)
        receipt["machine"]["cpu"] = "Intel Xeon"
        receipt["libraries"]["numpy"] = "1.0"
        write_json(path, receipt)
    code, text = compared(capsys, "theirs")
    assert code == 0 and "this run against theirs, both of profile smollm2" in text
    assert "  cpu: Intel Xeon there, AMD EPYC here\n" in text and "  numpy: 1.0 there, " in text
    assert "platform" not in text


def test_a_commit_from_before_each_profile_had_its_folder(run, capsys):
    """It holds one profile, in `reports/` itself."""
    for path in OWN.path.iterdir():
        path.rename(REPORTS / path.name)
    toy.git(run, "add", "--all")
    toy.git(run, "commit", "-q", "-m", "as it was")
    toy.git(run, "checkout", "-q", "HEAD~1", "--", "reports/smollm2")
    code, text = compared(capsys)
    assert code == 0 and ", 0 moved" in text and "machine and arithmetic: the same in every receipt" in text


@pytest.mark.parametrize("name", ["no-such-revision", "--json=1", "tests", "HEAD~7"])
def test_what_is_no_run_is_a_wrong_argument(run, capsys, name):
    Path("tests").mkdir()  # a folder, but without reports
    code, text = compared(capsys, name)
    assert code == 2 and text.startswith("usage: darkmatter compare")


def test_what_cannot_be_compared_is_an_error_with_code_1(run, capsys):
    OWN.claims.write_text("{")
    code, text = compared(capsys)
    assert code == 1 and "error: reports/smollm2/claims.json of here is not valid JSON" in text
    OWN.claims.unlink()
    assert compared(capsys) == (1, "error: reports/smollm2/claims.json is not here. `make repro` makes it.\n")
    shutil.rmtree(".git")
    shutil.copyfile(ROOT / OWN.claims, OWN.claims)
    code, text = compared(capsys)
    assert code == 1 and "no git repository" in text


def test_a_comparison_is_kept_as_a_column_of_the_table(capsys, run):
    claims = read_json(OWN.claims)
    row = next(row for row in claims["claims"] if row["id"] == SEEDED[0])
    row["components"][SEEDED[1]][0]["value"] += 0.01
    row["analogue"] = "agrees" if row["analogue"] != "agrees" else "disagrees"
    write_json(OWN.claims, claims)
    code, text = compared(capsys, "--keep", "another-machine")
    assert code == 1 and "kept: reports/compared/another-machine.json" in text
    kept = read_json(COMPARED / "another-machine.json")
    row = next(row for row in kept["claims"] if row["id"] == SEEDED[0])
    assert row["there"] != row["here"] and row["equal"] == row["numbers"] - 1
    assert row["in_seed_spreads"] == pytest.approx(in_json(capsys)[1]["numbers"][0]["in_seed_spreads"])
    assert kept["here"]["machine"]["cpu"] == ["AMD EPYC"] and sum(kept["here"]["units"].values()) > 0
    lines = page(read_compared()).splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{SEEDED[0]}` |")]
    assert line.count("**") == 2 and "σ" in line
    assert any("another-machine" in line and f"{JUDGED - 1} of {JUDGED} the same" in line for line in lines)


def test_parameters_that_differ_are_said(capsys, run):
    assert in_json(capsys)[1]["parameters"] == {}
    path = OWN.receipts / "nulls.json"
    receipt = read_json(path)
    receipt["params"]["nulls"]["seed"] = 7
    write_json(path, receipt)
    assert "parameter nulls.seed: 0 there, 7 here\n" in compared(capsys, "--keep", "other-draws")[1]
    assert read_json(COMPARED / "other-draws.json")["parameters"] == {"nulls.seed": ["0", "7"]}
    assert "| nulls.seed 7 |" in page(read_compared())
    del receipt["params"]["nulls"]["seed"]
    write_json(path, receipt)
    assert "parameter nulls.seed: 0 there, absent here\n" in compared(capsys)[1]
    path.unlink()  # a stage of one run alone says nothing
    assert in_json(capsys)[1]["parameters"] == {}


@pytest.mark.parametrize("name", ["../elsewhere", "", "Upper", ".hidden"])
def test_a_kept_comparison_has_a_plain_name(capsys, run, name):
    code, text = compared(capsys, f"--keep={name}")
    assert code == 2 and "a name has a-z" in text
    assert not COMPARED.exists() and not Path("../elsewhere.json").exists()
