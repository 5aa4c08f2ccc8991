"""`darkmatter plan`: dimensions, limits, recorded seconds of the default profile, published SAEs, claims, tables."""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import compose_and_dump

from darkmatter.cli import main
from darkmatter.costs.cost import Work
from darkmatter.costs.shapes import TABLE, known_shape
from darkmatter.costs.workload import UNKNOWN_L0, formats, from_params, sae_of
from darkmatter.ledger.claims import load_claims
from darkmatter.params import compose
from darkmatter.params.compose import composed
from darkmatter.params.schema import load_params
from darkmatter.params.types import ParamsError
from darkmatter.planning import document, probe, text
from darkmatter.planning.check import compare
from darkmatter.planning.devices import GPUS, REFERENCE, named, seconds, work_seconds
from darkmatter.planning.disk import bound_gb, layouts
from darkmatter.planning.graph import behind, behind_claim, overlap, parents
from darkmatter.planning.other_costs import decomposition_at
from darkmatter.planning.plan import make_plan, stage_cost
from darkmatter.storage.artifacts import ArtifactError, write_json
from darkmatter.storage.paths import reports_of

# Seconds of the default profile where everything was computed, two processes on the machine of the receipts, alone.
RECORDED = {
    "corpus": 8.3,
    "model": 24,
    "tokens": 8.8,
    "activations": 291,
    "saes": 255,
    "codes": 49,
    "decomposition": 117,
    "pursuit": 54,
    "downstream": 96,
    "error_saes": 57,
    "synthetic_noise": 90,
    "components": 36,
    "random_features": 21,
    "controls": 13,
    "latent_probe": 10,
    "per_token_scaling": 6.9,
    "norm_baselines": 13,
    "interpretability": 5.8,
    "claims": 5.0,
    "figures": 6.6,
    "lemmas": 2.4,
    "report": 2.5,
    "nulls": 224,
    "ground_truth": 92,
    "linear_rank": 58,
}


@pytest.fixture(scope="module")
def params():
    return composed("smollm2")


@pytest.fixture(scope="module")
def default(params):
    return from_params(params)


@pytest.fixture(scope="module")
def published():
    return {name: from_params(composed(name)) for name in (*document.PROFILES, "gemma3-270m")}


def changed(w, **sections):
    """The workload with other values of parameters, such as `tokens={"eval_contexts": 10}`."""
    known = {name: getattr(w.params, name) for name in sections}
    update = {name: known[name].model_copy(update=values) for name, values in sections.items()}
    return dataclasses.replace(w, params=w.params.model_copy(update=update))


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
    fewer = changed(default, tokens={"eval_contexts": default.tokens.eval_contexts // 2})
    assert stage_cost("codes")(default).flops == pytest.approx(2 * stage_cost("codes")(fewer).flops)
    wider = [dataclasses.replace(sae, d_model=2 * sae.d_model) for sae in default.saes]
    broad = dataclasses.replace(default, saes=tuple(wider))
    assert stage_cost("codes")(broad).flops == pytest.approx(2 * stage_cost("codes")(default).flops)
    pursued = next(sae for sae in default.at(default.main) if sae.group in default.params.pursuit.groups)
    wide = dataclasses.replace(pursued, d_sae=65536)  # without a Gram matrix: one product a step
    longer = dataclasses.replace(wide, l0=2 * wide.l0)
    alone = [dataclasses.replace(default, saes=(sae,)) for sae in (wide, longer)]
    steps = [stage_cost("pursuit")(w).steps[1].single for w in alone]
    assert steps[1] == pytest.approx(2 * steps[0])


def test_nothing_to_do_costs_nothing(default):
    none = changed(dataclasses.replace(default, saes=()), pursuit={"groups": []}, per_token_scaling={"groups": []})
    for stage in ("saes", "codes", "decomposition", "pursuit", "per_token_scaling", "norm_baselines"):
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
    flop = REFERENCE.rate("single")
    work, there = Work(single=flop, units=4), Work(single=flop, units=4, on_device=True)
    assert work_seconds(work, REFERENCE) == work_seconds(there, REFERENCE) == pytest.approx(0.5)
    assert work_seconds(there, GPUS["h100"]) == pytest.approx(flop / (0.6 * 67e12))
    assert work_seconds(work, GPUS["h100"]) == pytest.approx(0.25)  # on cores of its host, one for each unit


def test_profiles_of_published_saes_are_the_papers_protocol_on_every_listed_sae(published):
    nine = published["gemma-2-9b"]
    assert len(nine.saes) == 169 and nine.rows == 246_900 and nine.params.device == "cuda"
    explained, probed = (nine.at_main(getattr(nine.params, name).sae) for name in ("components", "latent_probe"))
    assert explained.d_sae == 16384 and probed.d_sae == 131072
    parents = [nine.sae(path) for path in nine.params.components.parents]
    assert [sae.hookpoint for sae in parents] == ["resid_post.19", "attn_z.20", "mlp_out.20"]
    assert [sae.d_model for sae in parents] == [3584, 4096, 3584]
    pursued = [sae for sae in nine.at(nine.main) if sae.group in nine.params.pursuit.groups]
    assert [sae.l0 for sae in pursued] == [58, 57, 55, 62, 50, 48, 57]  # published, where k says what was aimed at
    total = sum(sae.size for name in document.PROFILES for sae in published[name].saes)
    assert total == pytest.approx(1.6e12, rel=0.01)
    assert stage_cost("saes")(published["llama-3.1-8b"]).download == pytest.approx(87e9, rel=0.01)  # in bfloat16


def test_activations_take_the_bytes_of_the_models_numbers(published):
    two = published["gemma-2-2b"]
    single = changed(two, model={"dtype": "float32"})
    for stage in ("activations", "model"):
        assert stage_cost(stage)(single).disk == pytest.approx(2 * stage_cost(stage)(two).disk)
    rows = two.tokens.positions * (300 * (27 * 2304 + 2048) + (2000 + 26 * 8) * 2304 + 8 * 2048)
    assert stage_cost("activations")(two).disk == pytest.approx(2 * rows)


def test_a_published_sae_is_mapped_and_only_what_asks_all_latents_holds_it_whole(published):
    nine = published["gemma-2-9b"]
    widest = max(nine.saes, key=lambda sae: sae.size)
    assert widest.size > 30e9
    host = {name: stage_cost(name)(nine).host_memory(accelerator=True) for name in parents()}
    assert max(host.values()) < 24e9
    assert host["pursuit"] > widest.size / 2  # the decoder
    others = [name for name in ("saes", "codes", "decomposition") if host[name] > widest.size / 2]
    assert not others
    assert stage_cost("decomposition")(nine).device > 20 * 8 * 3584**2  # moments of every block


def test_an_accelerator_takes_part_of_the_memory(published, default):
    cost = stage_cost("downstream")(published["gemma-2-2b"])
    assert cost.host_memory(accelerator=False) == cost.memory + cost.device > cost.host_memory(accelerator=True)
    plan = make_plan(published["gemma-2-2b"], GPUS["h100"])
    assert 0 < plan.device_memory < plan.capacity == 80e9
    assert make_plan(default, REFERENCE).device_memory == 0


def test_a_bound_on_the_hubs_cache_saves_disk_and_costs_downloads(published, default):
    for w in published.values():
        everything, bounded, leanest = make_plan(w, GPUS["h100"]).layouts
        kept = sum(sae.file_size for sae in w.saes)
        assert everything.peak - bounded.peak == pytest.approx(kept - bound_gb(w) * 1e9)
        assert everything.again == 0 and bounded.again > 2 * kept  # for `codes` and for `decomposition`
        assert bounded.peak - leanest.peak == pytest.approx(stage_cost("model")(w).download)
        assert leanest.copied > leanest.peak
    (only,) = make_plan(default, REFERENCE).layouts
    assert only.again == 0
    few = published["gemma3-270m"]
    one, costs = dataclasses.replace(few, saes=few.saes[:1]), {name: stage_cost(name)(few) for name in parents()}
    assert all(layout.again == 0 for layout in layouts(one, costs))  # there is room for it


def test_a_plan_says_what_does_not_fit_and_what_is_fetched_again(published):
    shown = text.render(make_plan(published["gemma-2-9b"], GPUS["l4"]))
    assert "more than the 24 GB of l4: " in shown and "DARKMATTER_SAE_CACHE_GB=31" in shown
    assert "fetched again, at most: codes 893 GB" in shown and "each used 122 times" in shown
    assert "No GPU run has been made by us" in shown
    roomy = text.render(make_plan(published["gemma3-270m"], GPUS["h100"]))
    assert "more than" not in roomy


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
    assert claims["row-count"].stages == ("claims",) and claims["row-count"].covered and not pursued.covered


def test_claims_about_another_model_are_told_apart(published):
    plan = make_plan(published["llama-3.1-8b"], GPUS["h100"])
    covered = {claim.claim for claim in plan.claims if claim.covered}
    assert {"norm-r2-range", "lemma-poisson"} <= covered and "pursuit-fvu" not in covered
    assert f"{len(covered)} of {len(plan.claims)} claims are about this model" in text.render(plan)


def test_the_tables_of_the_documents_are_what_the_command_writes(tmp_path):
    for path, result in document.documents(document.plans()).items():
        assert path.read_text() == result, f"{path}: run python -m darkmatter.planning.document"
    (tmp_path / "other.md").write_text("no tables here")
    with pytest.raises(ArtifactError, match="no marks"):
        document.renewed(tmp_path / "other.md", "", document.MARKS)


def test_the_experiments_of_the_document_compose(tmp_path):
    result = re.findall(r"^dvc exp run (.*?)  +#", document.DOCUMENT.read_text(), re.MULTILINE)
    assert len(result) == 5
    for given in result:
        overrides = shlex.split(given)[1::2]
        compose_and_dump(tmp_path / "params.yaml", str(Path("conf").resolve()), None, "config", "", overrides)
        params = load_params(tmp_path / "params.yaml")
        section, _, name = overrides[1].partition("=")[0].partition(".")
        value = getattr(getattr(params, section), name) if name else getattr(params, section)
        assert str(value) == overrides[1].partition("=")[2]


def receipt(folder, stage, took, reused=()):
    units = {"computed": [], "reused": list(reused)}
    machine = {"workers": 2}
    write_json(
        folder / reports_of("smollm2").receipts / f"{stage}.json",
        {"profile": "smollm2", "seconds": took, "units": units, "machine": machine},
    )


def test_check_compares_cold_receipts_only(default, tmp_path):
    receipt(tmp_path, "activations", 1.0)
    receipt(tmp_path, "codes", 1.0, ["one"])
    receipt(tmp_path, "decomposition@resid_post.0", 70.0)
    receipt(tmp_path, "decomposition@resid_post.14", 70.0)
    result = {one.stage: one for one in compare(default, REFERENCE, tmp_path)}
    assert not result["activations"].within and result["activations"].ratio > 100
    assert result["codes"].ratio is None and result["codes"].why == "found units stored"
    assert result["decomposition"].measured == 140.0 and result["decomposition"].within
    assert result["saes"].why == "no receipt"
    other = dataclasses.replace(default, params=default.params.model_copy(update={"profile": "other"}))
    with pytest.raises(ArtifactError, match="reports/other/receipts holds no receipts"):
        compare(other, REFERENCE, tmp_path)
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
    main(["plan", "--profile", "gemma3-270m", "--device", "4090", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert (
        result["device"] == "rtx-4090"
        and result["saes"] == 90
        and len(result["claims"]) == len(load_claims(Path("claims.yaml")).claims)
    )
    assert result["total"]["seconds"] == pytest.approx(sum(stage["seconds"] for stage in result["stages"]))
    assert Path("params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--profile", "none"], "no profile 'none'"),
        (["--profile", "smoke-hub"], "there is no conf/manifests/smoke-hub.json"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--profile", "gemma3-270m", "--check"], "reports/gemma3-270m/receipts holds no receipts"),
    ],
)
def test_what_cannot_be_planned_is_refused(capsys, arguments, said):
    assert exit_code("plan", *arguments) == 1
    assert said in capsys.readouterr().err


def test_outside_of_the_repository_the_command_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert exit_code("plan", "--no-probe") == 1
    assert "Run from the repository" in capsys.readouterr().err
    with pytest.raises(ArtifactError, match=r"dvc.yaml does not exist"):
        parents()


def test_the_probe_sets_the_rates_of_this_machine(monkeypatch):
    one = {"float32": 100e9, "bfloat16": 120e9, "single": 60e9, "float64": 50e9, "copy": 10e9, "python": 1.5}
    one |= {"import_torch": 2.0, "import_sae_lens": 8.0}
    monkeypatch.setattr(probe, "measure_together", lambda count: [one, one | {"float32": 200e9}][:count])
    device = probe.calibrated("auto", workers=2)
    assert device.arithmetic == "float32" and device.peak["forward"] == device.peak["training"] == 150e9
    assert device.rate("single") == pytest.approx(60e9 * probe.REACHED["single"]) and device.workers == 2
    assert device.rate("python") == 1.5
    assert device.imports == {"torch": 2.0, "sae_lens": 10.0} and device.disk > 0 and device.memory > 0
    assert named("CPU") is REFERENCE and named("A100") is GPUS["a100-80gb"] and named("tpu") is None


@pytest.mark.parametrize(("arithmetic", "forward"), [("auto", 1870 / 925), ("bfloat16", 1870 / 925), ("float32", 1)])
def test_passes_and_training_have_the_rate_of_the_arithmetic_that_is_taken(monkeypatch, default, arithmetic, forward):
    """The Intel CPU with AMX on which both were measured: passes at 925 and 1,870 tokens a second."""
    intel = {"float32": 150e9, "bfloat16": 1300e9, "single": 150e9, "float64": 70e9, "copy": 10e9, "python": 1.5}
    intel |= {"import_torch": 2.0, "import_sae_lens": 8.0}
    monkeypatch.setattr(probe, "measure_together", lambda count: [intel] * count)
    device = probe.calibrated(arithmetic, workers=2)
    assert device.peak["forward"] / device.peak["single"] == pytest.approx(forward, rel=0.02)
    assert device.peak["training"] == device.peak["forward"]
    slow = dataclasses.replace(device, peak=device.peak | dict.fromkeys(("forward", "training"), 150e9))
    faster = {stage: seconds(stage_cost(stage)(default), slow) / seconds(stage_cost(stage)(default), device)
              for stage in ("activations", "saes", "downstream", "error_saes", "codes")}  # fmt: skip
    assert all((faster[stage] > 1.05) == (forward > 1) for stage in ("activations", "saes", "downstream"))
    assert faster["error_saes"] == faster["codes"] == 1  # what is judged stays in float32
    assert device.arithmetic in " ".join(make_plan(default, device).notes)


def test_a_probe_that_fails_is_told(monkeypatch):
    monkeypatch.setattr(probe.sys, "executable", "false")
    with pytest.raises(ArtifactError, match="--no-probe"):
        probe.measure_together(1)


def test_an_unknown_model_says_where_to_add_it(params):
    other = params.model.model_copy(update={"label": "Other"})
    with pytest.raises(ParamsError, match="has no shape of Other"):
        from_params(params.model_copy(update={"model": other}))


def test_saes_that_no_list_has_are_float32_of_the_l0_they_are_said_to_have(published, params):
    entry = {"sae": "my_sae", "hookpoint": "resid_post.14", "d_sae": 64, "architecture": "relu"}
    group = {"own": {"saes": [entry | {"l0": 7}, entry]}}
    saes = params.saes.model_validate(params.saes.model_dump() | {"published": {"groups": group}})
    specs = [spec for spec in saes.specs() if spec.reference]
    results = [sae_of(spec, 576, None) for spec in specs]
    assert [sae.l0 for sae in results] == [7, UNKNOWN_L0] and all(sae.file_size == sae.size for sae in results)
    assert formats(saes) == {} and published["llama-3.1-8b"].saes[0].file_bytes == 2


def test_a_dvc_yaml_that_is_none_is_said_in_one_line(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {a: [\n")
    with pytest.raises(ArtifactError, match=r"is not what DVC reads .* Run `git checkout"):
        parents(tmp_path / "dvc.yaml")


def test_a_profile_composes_in_memory(monkeypatch, tmp_path):
    before = load_params()
    assert composed("smoke").profile == "smoke" and load_params() == before
    monkeypatch.setattr(compose, "CONF", tmp_path)
    with pytest.raises(ParamsError, match="run this in the repository"):
        composed("smoke")
