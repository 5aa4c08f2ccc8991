"""README and docs stay true: numbers are those of the committed reports, files exist, parameters and commands too."""

import re
from pathlib import Path

import pytest
import yaml

from darkmatter.cli import main
from darkmatter.costs.workload import from_params
from darkmatter.figures import FIGURES
from darkmatter.figures.words import span
from darkmatter.ledger.other_profiles import MAIN, read_receipts, read_run
from darkmatter.params.schema import load_params
from darkmatter.planning.devices import REFERENCE
from darkmatter.planning.plan import make_plan
from darkmatter.report.results_page import END, LONGER, MARK, TABLES, changed_claims, committed_runs, renewed, rows_of
from darkmatter.report.story import numeral
from darkmatter.results.breakdown import width_series
from darkmatter.results.load import estimate, load_results
from darkmatter.storage.artifacts import ArtifactError, read_json
from darkmatter.storage.paths import reports_of

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCS = ROOT / "docs"
RESULTS, RUNNING, FIGURES_PAGE = ((DOCS / f"{name}.md").read_text() for name in ("results", "running", "figures"))
LONGEST = 1000  # words of the README


def test_table_of_widths_is_the_committed_series():
    params = load_params(ROOT / "params.yaml")
    results = load_results(ROOT / "reports" / "smollm2" / "results", params.hookpoints, [])
    saes, _ = width_series(results, params.figures.main_hookpoint, params.figures.widths_group)
    rows = re.findall(r"^\| ([\d,]+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|$", README, re.MULTILINE)
    result = {int(width.replace(",", "")): numbers for width, *numbers in rows}
    names = ("fvu", "fvu_nonlinear", "vector_r2", "norm_r2")
    assert result == {sae["d_sae"]: [f"{estimate(sae, name)['value']:.3f}" for name in names] for sae in saes}


def test_what_nulls_have_is_the_committed_run():
    content = read_json(ROOT / "reports" / "smollm2" / "results" / "nulls.json")
    names = ("fvu", "fvu_nonlinear", "vector_r2", "norm_r2")
    for row in content["nulls"]:
        numbers = [[f"{estimate(sae, name)['value']:.3f}".replace("-", "−") for sae in row["saes"]] for name in names]
        line = f"| {row['null'].replace('_', ' ')} | " + " | ".join(map(", ".join, numbers)) + " |"
        assert line.lower() in RESULTS.lower()
    claims = read_json(ROOT / "reports" / "smollm2" / "claims.json")
    marked = [row["id"] for row in claims["claims"] if row.get("non_diagnostic")]
    assert ", ".join(f"`{name}`" for name in marked) in " ".join(RESULTS.split())
    own = [row["outcome"] for row in claims["predictions"] if row["experiment"] == "nulls" and row["outcome"]]
    assert sorted(own) == sorted(4 * ["agrees"] + ["inconclusive", "disagrees"])
    _, last = content["estimands"]["gaussian_fvu_nonlinear_ratio"]["ratio"]
    assert f"is {last['value']:.2f} times the trained one at 4,096 latents" in " ".join(RESULTS.split())


def saes_of(profile: str) -> dict[str, dict]:
    """Name → SAE of the main hookpoint."""
    run = reports_of(profile)
    main = read_json(run.receipts / "claims.json")["params"][MAIN]
    return {sae["name"]: sae for sae in read_json(run.decomposition / f"{main}.json")["saes"]}


@pytest.mark.parametrize(("short", "long"), LONGER.items())
def test_what_training_changes_is_the_committed_run(short, long):
    shorter, longer, keys = saes_of(short), saes_of(long), ("fvu", "fvu_nonlinear")
    names = ("widths", "ladder-800k", "ladder-3200k", "widths")
    widths = {sae["d_sae"] for sae in [*shorter.values(), *longer.values()] if sae["group"] in names}
    for d_sae in widths:
        own = [saes.get(f"{name}-{d_sae}-k32-s0") for name, saes in zip(names, (shorter, *3 * [longer]), strict=True)]
        pairs = [(sae, key) for key in keys for sae in own]
        cells = [f"{estimate(sae, key)['value']:.3f}" if sae else "—" for sae, key in pairs]
        assert f"| {d_sae:,} | {' | '.join(cells)} |" in RESULTS
    ladder = read_json(ROOT / reports_of(long).figures / "fig01_breakdown.json")["ladder"]
    spans = [
        " to ".join(f"{size:.4f}" for size in (min(gains), max(gains)))
        for gains in ([-limit[key]["doubling"] for limit in ladder["limits"]] for key in keys)
    ]
    assert f"would lower FVU by {spans[0]}, FVU_nonlinear by {spans[1]}" in " ".join(RESULTS.split())


def test_which_claims_training_changes_is_the_committed_run():
    text, readme = " ".join(RESULTS.split()), " ".join(README.split())
    longest = saes_of("smollm2-full")["widths-4096-k32-s0"]
    fvu, nonlinear = (f"{estimate(longest, key)['value']:.3f}" for key in ("fvu", "fvu_nonlinear"))
    assert f"4,096 latents have FVU {fvu} and FVU_nonlinear {nonlinear}" in readme
    claims = committed_runs()
    changed, on_gemma = (len(changed_claims(claims[short], claims[long])) for short, long in LONGER.items())
    count = len(claims["smollm2"])
    assert f"{numeral(changed)} of {count} claims come out otherwise, on Gemma {numeral(on_gemma)}" in readme
    assert f"The other {count - changed} of {count} claims came out the same, on Gemma {count - on_gemma}" in text
    layers = claims["smollm2-full"]["norm-test-order"]["components"]["linear_minus_nonlinear"]
    (lead,) = (-one["value"] for one in layers if one["layer"] == "resid_post.17")
    assert f"layer 17 the norm of NonlinearError is predicted better than that of LinearError, by {lead:.3f}" in text


def test_what_architectures_differ_by_is_the_committed_run():
    """At one L0, beside the figure: each class at both sizes."""
    run = reports_of("smollm2-full")
    content, names = read_json(run.results / "architectures.json"), ("fvu", "fvu_nonlinear", "vector_r2")
    for variant in dict.fromkeys(one["variant"] for one in content["matched"]):
        numbers = [one["estimates"]["token"]["numbers"] for one in content["matched"] if one["variant"] == variant]
        values = [[one[name]["value"] for one in numbers] for name in names]
        cells = (", ".join("—" if value is None else f"{value:.3f}" for value in column) for column in values)
        assert f"| {variant.replace('_', ' ')} | {' | '.join(cells)} |" in RESULTS
    text, readme = " ".join(RESULTS.split()), " ".join(README.split())

    def of(estimand: str, part: str, digits: int = 2) -> list[str]:
        return [f"{one['value']:.{digits}f}" for one in content["estimands"][estimand][part]]

    ratios = of("architecture_fvu_nonlinear_ratio", "ratio")
    assert f"FVU_nonlinear is {min(ratios)} to {max(ratios)} times TopK's" in readme
    assert f"{ratios[0]} and {ratios[7]} of TopK's" in text
    assert f"varies {' and '.join(of('architecture_spread', 'ratio'))} times as much as" in text
    linear, nonlinear = (" and ".join(of("skip_64_left", part)) for part in ("linear", "nonlinear"))
    assert f"A skip of rank 64 leaves {linear} of TopK's LinearError, and {nonlinear} of its FVU_nonlinear" in text
    first, last = (round(100 * float(share)) for share in of("skip_64_left", "nonlinear"))
    assert f"a linear skip of rank 64 leaves {first} to {last} % of it" in readme
    least = min(float(share) for part in ("linear", "nonlinear") for share in of("skip_8_left", part))
    assert f"one of rank 8 leaves {least:.2f} or more of both" in text
    assert f"R² is {of('pursuit_vector_r2_lead', 'lead', 3)[0]} higher" in text
    predictions = [row for row in read_json(run.claims)["predictions"] if row["experiment"] == "architectures"]
    own = [row["outcome"] for row in predictions if "smollm2-full" in row["profiles"]]
    assert sorted(own) == sorted(3 * ["agrees"] + 3 * ["disagrees"])


def test_what_rank_dark_matter_has_is_the_committed_runs():
    for name in dict.fromkeys(name for profiles in TABLES.values() for name in profiles):
        run = reports_of(name)
        content = read_json(run.results / "linear_rank.json")
        saes = read_json(run.figures / "figX_linear_rank.json")["widths"]
        found = content["estimands"]
        shares = [found["linear_error_share"]["share_24"], found["linear_error_in_components"]["share"]]
        cells = [f"`{name}`", str(content["d_model"])]
        cells += [span([sae[rank]["value"] for sae in saes], 0) for rank in ("r50", "r90")]
        lists = [*shares, found["cross_entropy_at_rank"]["ratio_24"]]
        cells += [span([one["value"] for one in values], 2) for values in lists]
        assert f"| {' | '.join(cells)} |" in RESULTS
    claims = read_json(ROOT / "reports" / "smollm2" / "claims.json")
    own = [row["outcome"] for row in claims["predictions"] if row["experiment"] == "linear_rank"]
    assert own == 6 * ["agrees"]


def test_what_nulls_and_architectures_have_on_gemma_is_the_committed_run():
    run, text = reports_of("gemma3-270m-trained"), " ".join(RESULTS.split())
    nulls, architectures = (read_json(run.results / f"{name}.json") for name in ("nulls", "architectures"))

    def of(content: dict, estimand: str, part: str, digits: int) -> str:
        values = (f"{one['value']:.{digits}f}" for one in content["estimands"][estimand][part])
        return " and ".join(values).replace("-", "−")

    assert f"not predictable at all (R² {of(nulls, 'gaussian_norm_r2', 'r2', 3)})" in text
    assert f"of the trained SAE's, by {of(nulls, 'gaussian_vector_r2_lead', 'lead', 3)}" in text
    ratio = of(architectures, "architecture_fvu_nonlinear_ratio", "ratio", 2)
    assert f"ReLU with an L1 penalty leaves {ratio} of TopK's FVU_nonlinear at an L0 of 32" in text
    linear, nonlinear = (of(architectures, "skip_64_left", part, 2) for part in ("linear", "nonlinear"))
    assert f"{linear} of TopK's LinearError and {nonlinear} of its FVU_nonlinear are left" in text
    frozen, trained = (
        f"{estimate(row['saes'][0], 'fvu_nonlinear')['value']:.3f}"
        for name in ("frozen_decoder", "trained")
        for row in nulls["nulls"]
        if row["null"] == name
    )
    assert f"is {frozen} at 1,024 latents, hardly more than the trained {trained}" in text
    judged = [row["outcome"] for row in read_json(run.claims)["predictions"] if row["outcome"]]
    assert judged.count("agrees") == 3 and len(judged) == 4 and "Three of four predictions agree" in text


def test_what_errors_are_made_of_where_features_are_known_is_the_committed_run():
    content = read_json(ROOT / "reports" / "smollm2" / "results" / "ground_truth.json")
    linear, nonlinear = [], []
    for architecture in dict.fromkeys(sae["architecture"] for sae in content["saes"]):
        saes = [sae for sae in content["saes"] if sae["architecture"] == architecture]
        introduced = [sae["by_cosine"][0]["parts"]["introduced"] for sae in saes]
        columns = [[1 - part["of_linear"]["value"] for part in introduced]]
        columns += [[part["of_nonlinear"]["value"] for part in introduced]]
        columns += [[sae["pursuit"]["gain"]["value"] for sae in saes]]
        columns += [[sae["pursuit"]["of_error"]["introduced"]["value"] for sae in saes]]
        cells = (", ".join(f"{value:.2f}".replace("-", "−") for value in column) for column in columns)
        assert f"| {architecture.replace('_', ' ')} | " + " | ".join(cells) + " |" in RESULTS
        linear += [share for share, sae in zip(columns[0], saes, strict=True) if sae["expansion"] <= 1]
        nonlinear += columns[1]
    for text in (README, RESULTS):
        assert f"{100 * min(nonlinear):.0f} to {100 * max(nonlinear):.0f} %" in " ".join(text.split())
    assert f"make up {100 * min(linear):.0f} to {100 * max(linear):.0f} % of LinearError" in " ".join(README.split())
    claims = read_json(ROOT / "reports" / "smollm2" / "claims.json")
    own = [row["outcome"] for row in claims["predictions"] if row["experiment"] == "ground_truth"]
    assert sorted(own) == sorted(2 * ["agrees"] + 3 * ["disagrees"])


def test_asymptote_is_the_committed_one():
    law = read_json(ROOT / "reports" / "smollm2" / "figures" / "fig01_breakdown.json")["power_law"]
    assert f"{law['asymptote']:.3f} ({law['low']:.3f} to {law['high']:.3f})" in RESULTS


def test_what_pursuit_and_prior_components_take_away_is_the_committed_run():
    results = ROOT / "reports" / "smollm2" / "results"
    pursuit, components = (read_json(results / f"{name}.json")["estimands"] for name in ("pursuit", "components"))
    falls = {one["sae"]: -100 * one["value"] for one in pursuit["pursuit_nonlinear_change"]["change"]}
    of_widths = [fall for sae, fall in falls.items() if sae.endswith("-s0")]
    assert of_widths == sorted(of_widths)  # from narrow to wide
    text = " ".join(RESULTS.split())
    runs = [committed_runs()[name]["pursuit-nonlinear"] for name in TABLES["families"]]
    pooled = [[-100 * one["value"] for one in row["components"]["change"]] for row in runs]
    here, there = (span(values, 0) for values in pooled)
    assert f"lowers the pooled FVU_nonlinear by {here} %, the more the wider the SAE, and on Gemma by {there} %" in text
    averaged = [row["variants"]["token/paper/per-dimension"]["components"]["change"] for row in runs]
    here, there = (span([100 * one["value"] for one in values], 0) for values in averaged)
    assert f"pursuit raises it by {here} %, on Gemma by {there} %" in text
    best = max(one["value"] for one in components["components_explain_nonlinear_pooled"]["r2"])
    sae = read_json(results / "components.json")["sae"].split("/")[1]
    assert f"explains to {100 * best:.0f} %, pursuit takes away {falls[sae]:.0f} %" in text
    family = {
        row["id"]: row["components"] for row in read_json(ROOT / reports_of(TABLES["families"][1]).claims)["claims"]
    }
    most = max(one["high"] for one in family["parts-nonlinear"]["r2"])
    changes = family["pursuit-nonlinear"]["change"]
    assert len(changes) > 1 and all(one["high"] < -most < 0 for one in changes)  # on both models


def test_how_much_of_ablation_is_nonlinear_is_the_committed_run():
    rows = read_json(ROOT / "reports" / "smollm2" / "results" / "synthetic_noise.json")["by_width"]
    first, last = (f"{row['flatness']['value']:.2f}".replace("-", "−") for row in (rows[0], rows[-1]))
    narrow, wide = (f"{row['latents_per_dimension']:.1f}" for row in (rows[0], rows[-1]))
    text = " ".join(RESULTS.split())
    assert f"as nonlinear is {first} at {narrow} latents per dimension and {last} at {wide} (Fig. 15)" in text


def test_tables_of_claims_are_the_committed_runs(monkeypatch):
    """`python -m darkmatter.report.results_page` fills them in."""
    monkeypatch.chdir(ROOT)
    runs = committed_runs()
    assert renewed(RESULTS, runs) == RESULTS
    assert len(rows_of(RESULTS)) > 20
    assert f"all {len(runs['smollm2'])} claims" in RESULTS
    main = read_run(TABLES["families"][1])["main"]
    assert f"{main['dropped_rows']} tokens" in RESULTS and f"{main['rows']:,} that are fitted" in RESULTS


def of_claim(low: float, high: float, **more) -> dict:
    """A row with two judged components, of which the first stands at `low` to `high` and the second is below zero."""
    regions = {"first": {"low": 0}, "second": {"low": 0}}
    result = {"first": [{"value": (low + high) / 2, "low": low, "high": high}], "second": [UNDER]}
    outcomes = {"first": "agrees" if low > 0 else "inconclusive", "second": "disagrees"}
    row = {
        "id": "a",
        "judged_by": "analogue",
        "judge": None,
        "rule_sha256": "x",
        "edition": 3,
        "earlier": [],
        "components": result,
        "outcomes": {
            name: {"verdict": "not-testable-in-this-profile", "analogue": one} for name, one in outcomes.items()
        },
        "verdict": "not-testable-in-this-profile",
        "analogue": "disagrees",
    }
    return row | {"rule": {"test": "inside", "level": 0.95, "resample": ["context"], **SIDES(regions)}} | more


UNDER = {"value": -2.0, "low": -3.0, "high": -1.0}
SIDES = lambda regions: {"real": regions, "analogue": regions}  # noqa: E731
PAGE = """before
{}

| `a` `first` | some words | 0 | wrong |
| `a` `second` | other words | 0 | wrong |
{}
between
{}
| `a` `first` | some words | 0, wrong | 0, wrong |
{}
between
{}
{}
after"""


def test_a_component_has_its_own_number_and_outcome():
    text = PAGE.format(MARK.format("claims"), END, MARK.format("families"), END, MARK.format("training"), END)
    here, there = {"a": of_claim(0.1, 0.3)}, {"a": of_claim(-0.1, 0.3, judge="surrogate")}
    runs = {"smollm2": here, "smollm2-full": here, "gemma3-270m-trained": there, "gemma3-270m-full": there}
    result = renewed(text, runs)
    assert "| `a` `first` | some words | 0.2 (0.1 to 0.3) | agrees |" in result
    assert "| `a` `second` | other words | −2 (−3 to −1) | disagrees |" in result
    assert "| 0.2 (0.1 to 0.3), agrees | 0.1 (−0.1 to 0.3), inconclusive (surrogate) |" in result
    assert result.startswith("before") and result.endswith("after") and "wrong" not in result
    assert renewed(result, runs) == result
    with pytest.raises(ArtifactError, match="names `a` `first`"):
        renewed(text, runs | {"gemma3-270m-trained": {}})
    with pytest.raises(ArtifactError, match="has no marks"):
        renewed(text.replace(END, "", 2).replace(END, ""), runs)
    longer = {"a": of_claim(-0.1, 0.3, analogue="inconclusive")}
    with pytest.raises(ArtifactError, match="table training, lacks claims that come out otherwise: a"):
        renewed(text, runs | {"smollm2-full": longer})


def test_every_figure_is_in_the_table():
    for entry in FIGURES:
        assert entry.id in FIGURES_PAGE


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_every_link_resolves(page):
    for target in re.findall(r"\]\((?!http|#)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_index_has_every_page():
    listed = re.findall(r"^\| \[([\w-]+\.md)\]\(\1\)", (DOCS / "index.md").read_text(), re.MULTILINE)
    assert sorted([*listed, "index.md"]) == sorted(page.name for page in DOCS.glob("*.md"))


def test_a_first_reader_gets_through_the_readme():
    assert len(README.split()) <= LONGEST


def test_what_a_first_run_takes_is_the_plan():
    plan = make_plan(from_params(load_params(ROOT / "params.yaml")), REFERENCE)
    reflinks, copies = plan.layouts[0].peak, plan.layouts[0].copied
    text = " ".join(README.split())
    said = f"about {5 * round(plan.seconds / 300)} minutes on two cores, {plan.memory / 1e9:.1f} GB of memory a process"
    assert f"{said}, {plan.download / 1e6:.0f} MB of download" in text
    assert f"{reflinks / 1e9:.0f} GB of disk ({copies / 1e9:.0f} GB without reflinks)" in text


def test_what_other_profiles_took_is_what_their_receipts_say():
    took = [
        round(sum(one["seconds"] for one in read_receipts(reports_of(name).receipts).values()) / 60)
        for name in ("smollm2-full", "gemma3-270m-full", "gemma3-270m-trained")
    ]
    first, second, third = took
    said = f"of `smollm2-full` took {first} minutes, those of `gemma3-270m-full` {second} and those of"
    assert f"{said} `gemma3-270m-trained` {third}." in " ".join(RUNNING.split())


def test_the_output_of_derive_is_what_it_prints(monkeypatch, capsys):
    """But for how many numbers agree to the last bit, which is for the CPU to say."""
    monkeypatch.chdir(ROOT)
    (command, shown) = re.search(r"^\$ darkmatter (audit derive .*)\n((?:.+\n)+)```", README, re.MULTILINE).groups()
    main(command.split())
    last_digits = re.compile(r",? [\d,]+ (of them within|to the last bit)[^(;]*")
    assert last_digits.sub(" ", capsys.readouterr().out) == last_digits.sub(" ", shown)


@pytest.mark.parametrize("setting", sorted(set(re.findall(r"-S '?([a-z_.]+)=", README + RUNNING)) - {"profile"}))
def test_every_parameter_named_exists(setting):
    section = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key in setting.split("."):
        assert key in section, setting
        section = section[key]
