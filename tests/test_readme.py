"""The README stays true: its numbers are those of the committed reports, its files exist, its parameters too."""

import re
from pathlib import Path

import pytest
import yaml

from darkmatter.artifacts import read_json
from darkmatter.breakdown import width_series
from darkmatter.figures import FIGURES
from darkmatter.params import load_params
from darkmatter.results import estimate, load_results

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_table_of_widths_is_the_committed_series():
    params = load_params(ROOT / "params.yaml")
    results = load_results(ROOT / "reports" / "results", params.hookpoints)
    saes, _ = width_series(results, params.figures.main_hookpoint, params.figures.widths_group)
    rows = re.findall(r"^\| ([\d,]+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|$", README, re.MULTILINE)
    found = {int(width.replace(",", "")): numbers for width, *numbers in rows}
    names = ("fvu", "fvu_nonlinear", "vector_r2", "norm_r2")
    assert found == {sae["d_sae"]: [f"{estimate(sae, name)['value']:.3f}" for name in names] for sae in saes}


def test_asymptote_is_the_committed_one():
    law = read_json(ROOT / "reports" / "figures" / "fig01_breakdown.json")["power_law"]
    assert f"{law['asymptote']:.3f} ({law['low']:.3f} to {law['high']:.3f})" in README


def shown(estimate):
    """An estimate as the README writes it: three digits, and the interval where it has a width."""
    ends = (estimate["low"], estimate["high"])
    value, low, high = (f"{number:.3g}".replace("-", "−") for number in (estimate["value"], *ends))
    return value if ends[0] == ends[1] else f"{value} ({low} to {high})"


def test_table_of_claims_is_the_committed_ledger():
    claims = {claim["id"]: claim for claim in read_json(ROOT / "reports" / "claims.json")["claims"]}
    rows = re.findall(r"^\| `([\w-]+)` `(\w+)` \| .* \| (.*) \| ([\w-]+)(?: \(\w+\))? \|$", README, re.MULTILINE)
    assert len(rows) > 10
    for name, component, value, said in rows:
        claim = claims[name]
        (estimate,) = claim["components"][component]
        assert (value, said) == (
            shown(estimate),
            claim["analogue"] if claim["verdict"].startswith("not-testable") else claim["verdict"],
        ), name
    assert f"all {len(claims)} claims" in README


def test_table_of_families_is_the_committed_runs():
    files = (ROOT / "reports" / "claims.json", ROOT / "reports" / "families" / "gemma3-270m-trained.json")
    runs = [{claim["id"]: claim for claim in read_json(file)["claims"]} for file in files]
    cell = r"([^|]*), (agrees|disagrees|inconclusive)"
    rows = re.findall(rf"^\| `([\w-]+)` `(\w+)` \| [^|]* \| {cell} \| {cell} \|$", README, re.MULTILINE)
    assert len(rows) > 8
    main = read_json(files[1])["main"]
    assert f"{main['dropped_rows']} tokens" in README and f"{main['rows']:,} that are fitted" in README
    for name, component, *cells in rows:
        for run, said in zip(runs, zip(cells[::2], cells[1::2], strict=True), strict=True):
            assert said == (shown(run[name]["components"][component][0]), run[name]["analogue"]), name


def test_every_figure_is_in_the_table_and_every_link_resolves():
    for entry in FIGURES:
        assert entry.id in README
    for target in re.findall(r"\]\((?!http|#)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("setting", sorted(set(re.findall(r"-S '?([a-z_.]+)=", README)) - {"profile"}))
def test_every_parameter_named_exists(setting):
    section = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key in setting.split("."):
        assert key in section, setting
        section = section[key]
