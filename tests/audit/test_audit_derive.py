"""Numbers derived again from the committed sums, claims explained, rules held against their history."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy
import yaml
from hypothesis import given
from hypothesis import strategies as st

from darkmatter.audit import rules
from darkmatter.audit.compare import TOLERANCE, compare, numbers
from darkmatter.audit.derive import Derived, Deriver, numbers_of
from darkmatter.audit.explain import as_text, explain
from darkmatter.audit.hashing import hash_path
from darkmatter.audit.rerun import compare_output, difference, reason, rerun
from darkmatter.cli import main
from darkmatter.ledger.claims import CLAIMS, load_claims, rule_sha256
from darkmatter.results.headline import headline_metrics
from darkmatter.runner.code_identity import closure
from darkmatter.storage.artifacts import ArtifactError, read_arrays, read_json, sha256_bytes, write_arrays, write_json
from darkmatter.storage.paths import reports_of

ROOT = Path(__file__).parents[2]
REPORTS = reports_of("smollm2")
QUICK = "not-shrinkage-cos"  # a claim of the decomposition with a scalar from committed sums

leaf = (
    st.none() | st.booleans() | st.text(max_size=3) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
trees = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner), max_leaves=12
)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The committed reports, ledger and parameters, without data, to be changed at will."""
    shutil.copytree(ROOT / REPORTS.results, tmp_path / REPORTS.results)
    for name in ("claims.yaml", "params.yaml", REPORTS.claims):
        shutil.copyfile(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@given(trees)
def test_a_tree_equals_itself(tree):
    result = compare(tree, json.loads(json.dumps(tree)))
    assert (result.differing, result.equal, result.given) == ([], numbers(tree), 0)


@pytest.mark.parametrize(
    ("committed", "derived", "places"),
    [
        ({"a": 1.0}, {"a": 1.0 + TOLERANCE / 2}, []),
        ({"a": 1.0}, {"a": 1.0 + 3 * TOLERANCE}, ["a"]),
        ({"a": 1e-4}, {"a": 1e-4 + 1e-7}, ["a"]),
        ({"a": 0.0}, {"a": 1e-16}, []),
        ({"a": [1.0, 2.0]}, {"a": [1.0]}, ["a"]),
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.5]}, ["a[1]"]),
        ({"a": [{"name": "s", "b": 1.0}]}, {"a": [{"b": 2.0}]}, ["a[s].b"]),
        ({"a": None}, {"a": 0.0}, ["a"]),
        ({"a": 0}, {"a": False}, ["a"]),
        ({"a": "x"}, {"a": "y"}, ["a"]),
        ({}, {"a": {"b": 1}}, ["a"]),
    ],
)
def test_what_differs_is_named(committed, derived, places):
    assert [place for place, _, _ in compare(committed, derived).differing] == places


def test_what_is_not_derived_is_counted():
    result = compare({"a": 1.0, "width": 512, "name": "x", "more": [1, 2]}, {"a": 1.0})
    assert (result.equal, result.given, result.differing) == (1, 3, [])


def test_committed_claim_follows_from_committed_sums(copied):
    done = Deriver().derive(QUICK)
    assert [item.comparison.differing for item in done] == [[]]
    assert done[0].comparison.derived > 20
    assert done[0].row["verdict"] == read_json(REPORTS.claims)["claims"][8]["verdict"]


def test_number_edited_in_the_ledger_differs(copied):
    content = read_json(REPORTS.claims)
    row = next(row for row in content["claims"] if row["id"] == QUICK)
    row["components"]["cosine"][0]["value"] += 0.01
    row["verdict"] = "reproduced"
    write_json(REPORTS.claims, content)
    findings = list(Deriver().derive(QUICK)[0].findings())
    assert {finding.kind for finding in findings} == {"differs"}
    assert {finding.path.split(": ")[1] for finding in findings} == {
        f"claims[{QUICK}].components.cosine[0].value",
        f"claims[{QUICK}].verdict",
    }


def test_counts_and_rows_that_no_claim_has_differ(copied):
    rows = {row["id"]: row for row in read_json(REPORTS.claims)["claims"]}
    committed = [rows[claim.id] for claim in load_claims(CLAIMS).claims]
    assert Deriver().counts(committed).comparison.differing == []
    content = read_json(REPORTS.claims)
    content["verdicts"]["reproduced"] += 40
    content["claims"].append(content["claims"][0] | {"id": "cold-fusion"})
    write_json(REPORTS.claims, content)
    places = [place for place, *_ in Deriver().counts(committed).comparison.differing]
    assert places == ["verdicts.reproduced", "claims[cold-fusion]"]


def test_a_claim_says_every_number_that_the_page_says(copied):
    row = next(row for row in read_json(REPORTS.claims)["claims"] if row["id"] == "pursuit-fvu")
    lines = numbers_of(Derived(row["id"], "", row=row))
    assert sum(line.startswith("    widths-2048-k32-s0: ") for line in lines) == len(row["components"])
    assert {line.split(":")[0].strip() for line in lines} >= row["variants"].keys()


def test_sae_left_out_of_the_results_differs(copied):
    path = REPORTS.decomposition / "resid_post.0.json"
    content = read_json(path)
    gone = content["saes"].pop(0)["name"]
    write_json(path, content)
    assert Deriver().hookpoint("resid_post.0").comparison.differing == [("saes", [], [gone])]


def test_sums_edited_by_hand_differ(copied):
    path = REPORTS.sums / "resid_post.14.npz"
    arrays = read_arrays(path)
    changed = {key: array * 1.1 for key, array in arrays.items() if key.endswith("sum/cosine/token")}
    write_arrays(path, arrays | changed, compress=True)
    assert Deriver().derive(QUICK)[0].comparison.differing
    assert Deriver().hookpoint("resid_post.14").comparison.differing


@pytest.mark.parametrize("claim", ["vector-r2-trend", "opposite-l0-trends", "fvu-nl-flat", "pursuit-fvu", "parts-self"])
def test_a_mean_over_dimensions_follows_from_committed_sums(copied, claim):
    done = Deriver().derive(claim)[-1]
    assert done.lacking is None and done.comparison.differing == []
    assert done.comparison.equal + done.comparison.close > 25 and done.comparison.given == 0


def test_unknown_name(copied):
    with pytest.raises(ArtifactError, match="did you mean not-shrinkage-cos"):
        Deriver().derive("not-shrinkage-kos")


def test_deriving_needs_no_torch():
    imported = [path.read_text() for path in closure(ROOT / "darkmatter" / "audit" / "commands.py")]
    assert not [text for text in imported if "import torch" in text or "from torch" in text]


def test_explained_claim_reaches_from_the_quote_to_the_corpus(monkeypatch):
    monkeypatch.chdir(ROOT)
    result = explain("parts-self")
    claim = next(claim for claim in load_claims(CLAIMS).claims if claim.id == "parts-self")
    assert result["claim"]["quote"] == claim.quote
    stages = {item["stage"]: item for item in result["stages"]}
    assert next(iter(stages)) == "corpus"
    assert list(stages)[-1] == "claims"
    assert {"model", "activations", "saes", "components"} <= stages.keys()
    assert "pursuit" not in stages
    assert stages["components"]["command"] == "python -m stages.components"
    assert stages["components"]["params"]["components"]["sae"] == "widths-2048-k32-s0"
    assert all(len(sha256) == 64 for sha256 in stages["components"]["inputs"].values())
    text = "\n".join(as_text(result))
    assert claim.quote in text
    assert "darkmatter audit derive parts-self" in text
    with pytest.raises(ArtifactError, match="no claim 'parts'"):
        explain("parts")


def test_rule_that_is_not_the_one_that_judged(copied):
    assert list(rules.rule_findings(copied, "smollm2")) == []
    text = CLAIMS.read_text()
    assert text.count("level: 0.95") > 1
    CLAIMS.write_text(text.replace("level: 0.95", "level: 0.9", 1))
    assert [(finding.kind, finding.path) for finding in rules.rule_findings(copied, "smollm2")] == [
        ("rule-changed", "norm-r2-range")
    ]


def test_rule_changed_and_everything_run_again(copied):
    """Ledger and results agree; the history does not."""
    toy.git(copied, "init", "-q")
    toy.git(copied, "add", "--force", "claims.yaml", REPORTS.claims.as_posix())
    toy.git(copied, "commit", "-q", "-m", "a result")
    CLAIMS.write_text(CLAIMS.read_text().replace("level: 0.95", "level: 0.9", 1))
    content, rule = read_json(REPORTS.claims), rule_sha256(load_claims(CLAIMS).claims[0])
    content["claims"][0]["rule_sha256"] = rule
    write_json(REPORTS.claims, content)
    toy.git(copied, "commit", "-q", "-am", "another rule")
    (finding,) = rules.rule_findings(copied, "smollm2")
    assert (finding.kind, finding.path) == ("rule-changed", "norm-r2-range")
    assert rule[:12] in finding.message


def test_claim_that_was_judged_and_left_out(copied):
    """Ledger and results agree that there is no such claim; the history does not."""
    toy.git(copied, "init", "-q")
    toy.git(copied, "add", "--force", "claims.yaml", REPORTS.claims.as_posix())
    toy.git(copied, "commit", "-q", "-m", "a result")
    content = read_json(REPORTS.claims)
    identity = content["claims"].pop(0)["id"]
    write_json(REPORTS.claims, content)
    text = CLAIMS.read_text()
    first, second, *_ = (result.start() for result in re.finditer("^  - id: ", text, re.MULTILINE))
    shorter = text[:first] + text[second:]
    CLAIMS.write_text(shorter.replace(f"tested: {len(content['claims']) + 1}", f"tested: {len(content['claims'])}"))
    assert [(finding.kind, finding.path) for finding in rules.rule_findings(copied, "smollm2")] == [
        ("rule-changed", identity)
    ]


def test_clone_without_history_says_so(copied):
    toy.git(copied, "init", "-q")
    toy.git(copied, "add", "--force", "claims.yaml", REPORTS.claims.as_posix())
    toy.git(copied, "commit", "-q", "-m", "a result")
    toy.git(copied, "commit", "-q", "--allow-empty", "-m", "more")
    toy.git(copied, "clone", "-q", "--depth", "1", copied.as_uri(), "shallow")
    (finding,) = rules.rule_findings(copied / "shallow", "smollm2")
    assert (finding.kind, finding.path) == ("missing", "claims.yaml")
    assert "git fetch --unshallow" in finding.message


def test_quotes_are_found_again_only_in_the_paper(copied):
    Path("paper.txt").write_text("another text")
    with pytest.raises(ArtifactError, match="is not the text"):
        list(rules.quote_findings(Path("paper.txt")))
    ledger = load_claims(CLAIMS)
    text = CLAIMS.read_text().replace(ledger.paper.sha256, sha256_bytes(b"another text"))
    CLAIMS.write_text(text)
    result = list(rules.quote_findings(Path("paper.txt")))
    assert len(result) == ledger.tested + len(ledger.errata)
    assert {finding.kind for finding in result} == {"differs"}


def test_rerun_in_a_clean_clone(tmp_path):
    """Of what HEAD holds: a forged number is found, and an edit that is not committed does not run."""
    root = toy.build(tmp_path)
    toy.edit(root / "reports/toy/results/use.json", value=1.0)
    toy.dvc(root, "commit", "-f", "use")
    toy.commit(root)
    (root / "use.py").write_text("raise SystemExit(1)")
    (output,) = rerun("use", root)
    assert output.same == "no"
    assert "value was 1.0, is 13857.1" in output.detail
    assert [finding.kind for finding in output.findings()] == ["differs"]
    with pytest.raises(ArtifactError, match="no stage 'nothing'"):
        rerun("nothing", root)


def test_rerun_tells_other_arithmetic_from_what_nothing_fixes(tmp_path):
    """Numbers within the tolerance may be another CPU's; but two runs on one machine must be the same bytes."""
    root = toy.build(tmp_path)
    value = json.loads((root / "reports/toy/results/use.json").read_text())["value"]
    toy.edit(root / "reports/toy/results/use.json", value=value * (1 + 1e-9))
    toy.dvc(root, "commit", "-f", "use")
    toy.commit(root)
    assert [output.same for output in rerun("use", root)] == ["numbers"]
    (root / "use.py").write_text(toy.USE.replace("/ 7", "/ 7 * 1e9 + __import__('time').time()"))
    toy.dvc(root, "repro", "-q")
    toy.commit(root)
    (output,) = rerun("use", root)
    assert output.same == "no" and "two runs on this machine differ in their bytes" in output.detail
    assert [finding.kind for finding in output.findings()] == ["differs"]


def test_rerun_says_why_the_stage_failed(tmp_path):
    root = toy.build(tmp_path)
    (root / "use.py").write_text(toy.USE + "raise SystemExit('error in stage use: no room')\n")
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    (own,) = (dep for dep in lock["stages"]["use"]["deps"] if dep["path"] == "use.py")
    own |= {"md5": hash_path(root / "use.py").md5, "size": (root / "use.py").stat().st_size}
    (root / "dvc.lock").write_text(yaml.safe_dump(lock))
    toy.commit(root)
    with pytest.raises(ArtifactError, match=r"` failed in a clone of HEAD: error in stage use: no room$"):
        rerun("use", root)


def test_rerun_without_data_says_what_it_needs(tmp_path):
    root = toy.build(tmp_path)
    shutil.rmtree(root / ".dvc" / "cache")
    with pytest.raises(ArtifactError, match=r"^use reads data/numbers, which is in no cache here: `make repro` or"):
        rerun("use", root)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("error in stage use: no room\nERROR: failed to run: python use.py\n", "error in stage use: no room"),
        ("Traceback:\n  raise KeyError(1)\nKeyError: 1\nERROR: failed\n", "KeyError: 1"),
        ("dvc.exceptions.DvcException: bad lock\n\n", "dvc.exceptions.DvcException: bad lock"),
        ("50 %\r100 %\rERROR: no such stage", "ERROR: no such stage"),
        ("", "it printed nothing"),
    ],
)
def test_reason_of_a_failure(told, why):
    assert reason(told) == why


def test_run_that_is_not_committed_is_not_compared_with_head(tmp_path):
    root = toy.build(tmp_path)
    (root / "use.py").write_text(toy.USE.replace("/ 7", "/ 8"))
    toy.dvc(root, "repro", "-q")
    with pytest.raises(ArtifactError, match=r"it has another use\.py than dvc\.lock\. Commit"):
        rerun("use", root)
    toy.commit(root)
    (root / "params.yaml").write_text("profile: toy\nsize: 4\n")
    toy.dvc(root, "repro", "-q")
    with pytest.raises(ArtifactError, match="other values of size"):
        rerun("make", root)


def test_outputs_within_the_tolerance_hold_the_same_numbers(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    x = np.linspace(1, 2, 5)
    for folder, scale in ((one, 1.0), (other, 1 + TOLERANCE / 3)):
        write_json(folder / "data" / "a.json", {"x": scale})
        write_arrays(folder / "data" / "b.npz", {"x": x * scale, "n": np.arange(3)})
    assert compare_output("data", "0.dir", one, other).same == "numbers"
    write_arrays(other / "data" / "b.npz", {"x": x, "n": np.arange(3) + 1})
    assert "array 'n'" in compare_output("data", "0.dir", one, other).detail
    write_arrays(other / "data" / "b.npz", {"x": x * 1.01, "n": np.arange(3)})
    assert difference(one / "data" / "b.npz", other / "data" / "b.npz") == "array 'x' differs"
    kept = np.array([[1.0, np.nan], [2.0, np.nan]])  # row sets on which no number reads them
    for folder, scale in ((one, 1.0), (other, 1 + TOLERANCE / 3)):
        write_arrays(folder / "data" / "b.npz", {"x": kept * scale})
    assert difference(one / "data" / "b.npz", other / "data" / "b.npz") is None
    write_arrays(other / "data" / "b.npz", {"x": np.nan_to_num(kept)})
    assert difference(one / "data" / "b.npz", other / "data" / "b.npz") == "array 'x' differs"
    (other / "data" / "c").write_text("")
    assert "one side only: c" in compare_output("data", "0.dir", one, other).detail
    assert compare_output("reports/report.html", "", one, other).same == "volatile"


def test_commands_end_with_the_code_of_what_they_found(copied, capsys):
    main(["audit", "derive", QUICK])
    said = capsys.readouterr().out
    assert "analogue" in said
    assert "\n  token/authors: agrees; cosine " in said
    content = read_json(REPORTS.claims)
    write_json(REPORTS.claims, content | {"claims": [row for row in content["claims"] if row["id"] != "parts-self"]})
    with pytest.raises(SystemExit) as ended:
        main(["audit", "derive", "parts-self", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (ended.value.code, said["exit_code"]) == (7, 7)
    assert said["findings"][0]["kind"] == "missing"
    write_json(REPORTS.claims, content)
    with pytest.raises(SystemExit) as ended:
        main(["audit", "derive", "nothing", "--json"])
    assert ended.value.code == 1
    assert "nothing is called" in json.loads(capsys.readouterr().out)["error"]
    deriver = Deriver()
    write_json(REPORTS.metrics, headline_metrics(deriver.results, deriver.params))
    main(["audit", "derive", "metrics", "--values", "--json"])
    (said,) = json.loads(capsys.readouterr().out)["derived"]
    assert said["equal"] == len(said["values"]) > 3
    main(["audit", "derive", "metrics", "--values"])
    lines, known = capsys.readouterr().out, read_json(REPORTS.metrics)
    for name, value in {"asymptote": known["asymptote"], "widest_sae.fvu": known["widest_sae"]["fvu"]}.items():
        assert said["values"][name] == value and f"  {name} = {value!r}\n" in lines
    (REPORTS.results / "data.json").write_text("[]")
    with pytest.raises(SystemExit) as ended:
        main(["audit", "derive", QUICK, "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (ended.value.code, said["exit_code"]) == (1, 1)
    assert "darkmatter audit verify" in said["error"]
    with pytest.raises(SystemExit) as ended:
        main(["audit", "verify", "--nonsense"])
    assert ended.value.code == 2
