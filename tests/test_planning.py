"""`darkmatter plan`: dimensions, limits, recorded seconds of the default profile, suites, claims, and its tables."""

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from darkmatter import composing
from darkmatter.artifacts import ArtifactError, write_json
from darkmatter.cli import main
from darkmatter.composing import composed
from darkmatter.params import load_params
from darkmatter.planning import document, probe, text
from darkmatter.planning.check import compare
from darkmatter.planning.cost import Work
from darkmatter.planning.devices import GPUS, REFERENCE, named, seconds, work_seconds
from darkmatter.planning.disk import layouts
from darkmatter.planning.graph import behind, behind_claim, overlap, parents
from darkmatter.planning.plan import make_plan, stage_cost
from darkmatter.planning.regression_costs import decomposition_at, pursuit
from darkmatter.planning.shapes import TABLE, known_shape
from darkmatter.planning.suites import from_suite, names
from darkmatter.planning.workload import from_params
from darkmatter.sections import ParamsError

# Seconds of the default profile where everything was computed, two processes on the machine of the receipts, alone.
RECORDED = {
    "corpus": 12,
    "model": 41,
    "tokens": 30,
    "activations": 778,
    "saes": 600,
    "codes": 92,
    "decomposition": 257,
    "pursuit": 121,
    "downstream": 129,
    "error_saes": 74,
    "synthetic_noise": 68,
    "components": 57,
    "random_features": 36,
    "controls": 23,
    "latent_probe": 13,
    "per_token_scaling": 12.6,
    "norm_baselines": 10,
    "interpretability": 10,
    "claims": 9,
    "figures": 8.4,
    "lemmas": 4.2,
    "report": 3.9,
}


@pytest.fixture(scope="module")
def params():
    return composed("smollm2")


@pytest.fixture(scope="module")
def default(params):
    return from_params(params)


@pytest.fixture(scope="module")
def suites(params):
    return {name: from_suite(name, params) for name in names()}


@pytest.mark.parametrize("stage", RECORDED)
def test_predicted_seconds_are_within_a_factor_of_two_of_the_recorded_ones(default, stage):
    ratio = seconds(stage_cost(stage)(default), REFERENCE) / RECORDED[stage]
    assert 0.5 < ratio < 2


def test_every_stage_of_the_pipeline_has_a_cost(default):
    assert all(stage_cost(stage)(default).steps for stage in parents())


def test_twice_the_saes_are_twice_the_work_of_the_stages_on_saes(default):
    twice = dataclasses.replace(default, saes=default.saes * 2)
    for stage in ("saes", "codes"):
        one, two = stage_cost(stage)(default), stage_cost(stage)(twice)
        assert two.flops == pytest.approx(2 * one.flops) and two.disk == pytest.approx(2 * one.disk)
    assert stage_cost("activations")(twice) == stage_cost("activations")(default)
    one, two = (decomposition_at(w, default.main) for w in (default, twice))
    shared = one.steps[0].flops
    assert two.flops - shared == pytest.approx(2 * (one.flops - shared))  # moments are shared by the hookpoint


def test_work_grows_with_the_size_it_is_about(default):
    half = default.tokens.model_copy(update={"eval_contexts": default.tokens.eval_contexts // 2})
    fewer = dataclasses.replace(default, tokens=half)
    assert stage_cost("codes")(default).flops == pytest.approx(2 * stage_cost("codes")(fewer).flops)
    wider = [dataclasses.replace(sae, d_model=2 * sae.d_model) for sae in default.saes]
    broad = dataclasses.replace(default, saes=tuple(wider))
    assert stage_cost("codes")(broad).flops == pytest.approx(2 * stage_cost("codes")(default).flops)
    published = dataclasses.replace(default.pursued[0], d_sae=65536)  # without a Gram matrix: one product a step
    longer = dataclasses.replace(published, l0=2 * published.l0)
    steps = [pursuit(dataclasses.replace(default, pursued=(sae,))).steps[1].single for sae in (published, longer)]
    assert steps[1] == pytest.approx(2 * steps[0])


def test_nothing_to_do_costs_nothing(default):
    none = dataclasses.replace(default, saes=(), pursued=(), spliced=(), error_sae=None, noisy=None, parents=())
    for stage in ("saes", "codes", "decomposition", "pursuit", "downstream", "error_saes", "synthetic_noise"):
        cost = stage_cost(stage)(none)
        assert cost.flops == 0 and seconds(cost, REFERENCE) == 0, stage


def test_a_pass_costs_two_flop_per_weight_and_token_beside_attention():
    shape = known_shape("google/gemma-2-2b")
    weights = shape.parameters - shape.vocabulary * shape.d_model  # the embedding is a lookup
    attention = 4 * 1024 * shape.heads * shape.d_head * shape.layers
    per_token = shape.pass_flops(1, 1024, shape.layers) / 1024 - attention
    assert per_token == pytest.approx(2 * weights, rel=1e-3)  # norms have weights, too, and no products


@pytest.mark.parametrize("name", yaml.safe_load(TABLE.read_text()))
def test_parameters_of_the_table_follow_from_its_shapes(name):
    m = known_shape(name)
    block = m.d_model * m.d_head * (2 * m.heads + 2 * m.kv_heads) + 3 * m.d_model * m.d_mlp
    norms = {"gemma-2": 4 * m.d_model, "gemma-3": 4 * m.d_model + 2 * m.d_head}
    block += next((count for part, count in norms.items() if part in name), 2 * m.d_model)
    heads = 2 if name.startswith("meta-llama") else 1  # Llama 3.1's head is a matrix of its own
    assert heads * m.vocabulary * m.d_model + m.layers * block + m.d_model == m.parameters


def test_equal_units_share_processes_in_rounds():
    assert Work(units=5).speedup(2) == 5 / 3 and Work(units=1).speedup(64) == 1 and Work(units=64).speedup(2) == 2
    work = Work(single=65e9, units=4)
    assert work_seconds(work, REFERENCE) == pytest.approx(0.5)
    assert work_seconds(work, GPUS["h100"]) == pytest.approx(65e9 / (0.6 * 67e12))


def test_suites_are_the_papers_protocol_on_every_listed_sae(suites):
    nine = suites["gemma-2-9b"]
    assert len(nine.saes) == 171 and nine.rows == 246_900 and not nine.runs
    assert nine.explained.d_sae == 16384 and nine.probed.d_sae == 131072 and len(nine.pursued) == 7
    assert [sae.hookpoint for sae in nine.parents] == ["resid_post.19", "attn_z.20", "mlp_out.20"]
    assert {sae.d_sae for sae in nine.baselines} == {131072} and len(nine.baselines) == 42
    total = sum(sae.size for name in ("gemma-2-2b", "gemma-2-9b", "llama-3.1-8b") for sae in suites[name].saes)
    assert total == pytest.approx(1.6e12, rel=0.01)
    llama = suites["llama-3.1-8b"]
    assert stage_cost("saes")(llama).download == pytest.approx(86e9, rel=0.01)
    assert not stage_cost("pursuit")(llama).steps  # it has no role in section 6


def test_disk_falls_with_each_leaner_way_and_the_budget_is_told_honestly(suites):
    for w in suites.values():
        found = layouts(w, {name: stage_cost(name)(w) for name in parents()})
        peaks = [layout.peak for layout in found]
        assert peaks == sorted(peaks, reverse=True) and len(peaks) == 4
        assert all(layout.copied > layout.peak for layout in found)
    plan = make_plan(suites["gemma-2-9b"], GPUS["h100"])
    assert plan.layouts[0].peak > 1e12 and "over the budget of 200 GB" in text.render(plan)


def test_a_suite_says_that_it_cannot_be_run_yet_and_what_does_not_fit(suites):
    shown = text.render(make_plan(suites["gemma-2-9b"], GPUS["rtx-4090"]))
    assert "NOT RUNNABLE YET" in shown and "more than the 24 GB of rtx-4090: activations" in shown
    assert "compute on the CPU" in shown and "each used 61 times" in shown


def test_stages_behind_a_stage_follow_from_the_files_they_read():
    graph = parents()
    assert behind("interpretability", graph) == {
        "corpus",
        "model",
        "tokens",
        "activations",
        "saes",
        "error_saes",
        "interpretability",
    }
    assert behind("lemmas", graph) == {"lemmas"} and behind_claim("claims", graph) == {"claims"}
    assert {"codes", "pursuit", "claims"} <= behind_claim("pursuit", graph)


def test_folders_and_what_lies_in_them_belong_together():
    assert overlap("data/codes", "data/codes/resid_post.1") and overlap("data/codes/resid_post.1", "data/codes")
    assert overlap("data/codes", "data/codes") and not overlap("data/codes", "data/codes2")


def test_a_claim_costs_the_stages_behind_it_and_what_others_share_is_said(default):
    plan = make_plan(default, REFERENCE)
    by_stage = {stage.stage: stage.seconds for stage in plan.stages}
    claims = {claim.claim: claim for claim in plan.claims}
    pursued = claims["pursuit-fvu"]
    assert pursued.alone == pytest.approx(sum(by_stage[stage] for stage in pursued.stages))
    assert pursued.alone - pursued.shared == pytest.approx(by_stage["pursuit"])
    assert claims["norm-r2-range"].shared == pytest.approx(claims["norm-r2-range"].alone)  # components need it all
    assert claims["row-count"].stages == ("claims",)
    assert all(claim.covered for claim in plan.claims)


def test_of_a_suite_only_claims_in_its_scope_count(suites):
    plan = make_plan(suites["llama-3.1-8b"], GPUS["h100"])
    covered = {claim.claim for claim in plan.claims if claim.covered}
    assert {"norm-r2-range", "lemma-poisson"} <= covered and "pursuit-fvu" not in covered


def test_the_tables_of_the_document_are_what_the_command_writes():
    found = document.DOCUMENT.read_text()
    assert document.renewed(found, document.tables(document.plans())) == found
    with pytest.raises(ArtifactError, match="no marks"):
        document.renewed("no tables here", "")


def receipt(folder, stage, took, reused=()):
    units = {"computed": [], "reused": list(reused)}
    machine = {"workers": 2}
    write_json(folder / f"{stage}.json", {"profile": "smollm2", "seconds": took, "units": units, "machine": machine})


def test_check_compares_cold_receipts_only(default, tmp_path):
    receipt(tmp_path, "activations", 1.0)
    receipt(tmp_path, "codes", 1.0, ["one"])
    receipt(tmp_path, "decomposition@resid_post.0", 150.0)
    receipt(tmp_path, "decomposition@resid_post.14", 150.0)
    found = {one.stage: one for one in compare(default, REFERENCE, tmp_path)}
    assert not found["activations"].within and found["activations"].ratio > 100
    assert found["codes"].ratio is None and found["codes"].why == "found units stored"
    assert found["decomposition"].measured == 300.0 and found["decomposition"].within
    assert found["saes"].why == "no receipt"
    with pytest.raises(ArtifactError, match="are of profile smollm2, not other"):
        compare(dataclasses.replace(default, name="other"), REFERENCE, tmp_path)
    with pytest.raises(ArtifactError, match="make repro"):
        compare(default, REFERENCE, tmp_path / "none")


def test_workers_of_the_receipt_count(default, tmp_path):
    receipt(tmp_path, "codes", 100.0)
    one = dataclasses.replace(REFERENCE, workers=1)
    slow, fast = (
        next(c for c in compare(default, device, tmp_path) if c.stage == "codes") for device in (one, REFERENCE)
    )
    assert slow.predicted == fast.predicted  # those of the receipt, not of the device


def exit_code(*arguments):
    with pytest.raises(SystemExit) as left:
        main([*arguments])
    return left.value.code


def test_the_command_prints_a_plan_or_json_and_leaves_params_alone(capsys):
    before = Path("params.yaml").read_bytes()
    main(["plan", "--profile", "smoke", "--no-probe"])
    shown = capsys.readouterr().out
    assert shown.startswith("smoke: random Llama") and "activations" in shown and "Claims, by" in shown
    main(["plan", "--suite", "gemma3-270m", "--device", "4090", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["device"] == "rtx-4090" and not found["runs"] and len(found["claims"]) == 54
    assert found["total"]["seconds"] == pytest.approx(sum(stage["seconds"] for stage in found["stages"]))
    assert Path("params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--profile", "none"], "no profile 'none'"),
        (["--suite", "none"], "no suite 'none'; conf/manifests has gemma-2-2b"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--suite", "gemma-2-2b", "--check"], "leave out --suite"),
    ],
)
def test_what_cannot_be_planned_is_refused(capsys, arguments, said):
    assert exit_code("plan", *arguments) == 1
    assert said in capsys.readouterr().err


def test_outside_of_the_repository_the_command_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert exit_code("plan", "--no-probe") == 1
    assert "run this in the repository" in capsys.readouterr().err
    with pytest.raises(ArtifactError, match=r"dvc.yaml does not exist"):
        parents()


def test_the_probe_sets_the_rates_of_this_machine(monkeypatch):
    one = {"float32": 100e9, "float64": 50e9, "copy": 10e9, "import_torch": 2.0, "import_sae_lens": 8.0}
    monkeypatch.setattr(probe, "measure_together", lambda count: [one, one | {"float32": 200e9}][:count])
    device = probe.calibrated(workers=2)
    assert device.rate("single") == pytest.approx(150e9 * probe.REACHED["single"]) and device.workers == 2
    assert device.imports == {"torch": 2.0, "sae_lens": 10.0} and device.disk > 0 and device.memory > 0
    assert named("CPU") is REFERENCE and named("A100") is GPUS["a100-80gb"] and named("tpu") is None


def test_a_probe_that_fails_is_told(monkeypatch):
    monkeypatch.setattr(probe.sys, "executable", "false")
    with pytest.raises(ArtifactError, match="--no-probe"):
        probe.measure_together(1)


def test_an_unknown_model_says_where_to_add_it(params):
    other = params.model.model_copy(update={"label": "Other"})
    with pytest.raises(ParamsError, match="has no shape of Other"):
        from_params(params.model_copy(update={"model": other}))


def test_a_profile_composes_in_memory(monkeypatch, tmp_path):
    before = load_params()
    assert composed("smoke").profile == "smoke" and load_params() == before
    monkeypatch.setattr(composing, "CONF", tmp_path)
    with pytest.raises(ParamsError, match="run this in the repository"):
        composed("smoke")
