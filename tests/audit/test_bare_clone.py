"""A clone without data: each command that README, docs and the report print works, or is marked as needing data."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from darkmatter.api.demo import ARGUMENTS
from darkmatter.audit.derive import Deriver
from darkmatter.cli import main
from darkmatter.ledger.claims import CLAIMS, load_claims
from darkmatter.saes.published.layer_sets import COMPARISON

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "data" / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
TESTED_ELSEWHERE = {
    "extending.md": "test_api_commands.py",
    "sharing.md": "test_sharing.py",
    "your_sae.md": "test_your_sae.py",
}
BLOCK = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|\$ |&& |[A-Z_]+=\S+ )(darkmatter [a-z][^#&\n]*)", re.MULTILINE)

# Printed → its exit codes in a bare clone. 1: `doctor` says that something here would stop that profile. 6: the code
# was edited after the run that is committed. 7: the clone is a shallow one.
RUN = {
    "audit derive CLAIM": {0},
    "audit derive claims": {0},
    "audit derive random-parabola": {0},
    "audit explain pursuit-fvu": {0, 6},
    "audit explain CLAIM": {0, 6},
    "audit export checklist": {0},
    "audit export codecheck": {0},
    "audit verify --committed": {0, 6, 7},
    "compare": {0},
    "doctor": {0, 1},
    "doctor --device gpu": {0, 1},
    "doctor --profile gemma-2-2b": {0, 1},
    "doctor --profile gemma-2-9b": {0, 1},
    "plan": {0},
    "plan --check": {0, 1},
    "plan --profile gemma-2-2b --device h100": {0},
    "plan --profile gemma-2-9b --device h100": {0},
    "params --profile gemma-2-2b": {0},
    "params --profile gemma3-270m-trained": {0},
    "params --profile smoke": {0},
    "params --profile smollm2-full": {0},
    "params": {0},
}
# Printed → the words beside it that say what it needs.
MARKED = {
    "audit rerun STAGE": "data: the stage's inputs",
    "audit rerun decomposition@resid_post.14": "the first needs data",
    "audit verify": "data (or `--committed`: a bare clone)",
    "audit verify --paper paper.txt": "the paper's text",
    "compare HEAD --keep NAME": "after `make repro`",
    "decompose": "",  # named, without the files that it takes
    "decompose --activations acts.npy --sae my_sae": "Your own model and SAE",
    f"decompose --activations acts.npy --sae {COMPARISON}:matching-pursuit/l0-85": "With rows extracted once",
    f"decompose {' '.join(ARGUMENTS)} --figure parts.svg": "make demo",
    "params --profile NAME": "",
    "gpu-check --device cuda:1 --out receipt.json": "make gpu-check",
}
CODES = {  # without `plan`, which measures the machine for 20 seconds; what comes to the same command once
    name.replace("CLAIM", "pursuit-fvu"): codes for name, codes in RUN.items() if name != "plan"
}


def printed():
    """Every `darkmatter …` of the pages → the pages that have it."""
    result = {}
    for page in PAGES:
        if page.name in TESTED_ELSEWHERE:
            continue
        text = page.read_text()
        named = re.findall(r"`(darkmatter [a-z][^`]*)`", BLOCK.sub("", text))
        for command in [*(" ".join(one.split()) for one in named), *COMMAND.findall("\n".join(BLOCK.findall(text)))]:
            result.setdefault(command.split(" && ")[0].strip().removeprefix("darkmatter "), []).append(page)
    return result


PRINTED = printed()


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone of HEAD with what is edited here, and no data."""
    folder = tmp_path_factory.mktemp("bare") / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(folder)], check=True)
    listed = ["git", "ls-files", "--modified", "--others", "--exclude-standard", "--deleted"]
    changed = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, changed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copyfile(ROOT / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    return folder


@pytest.fixture
def inside(clone, monkeypatch):
    """Each test finds the parameters as they were cloned."""
    monkeypatch.chdir(clone)
    before = Path("params.yaml").read_bytes()
    yield clone
    Path("params.yaml").write_bytes(before)


def test_no_data_is_there(clone):
    assert sorted(path.name for path in (clone / "data").iterdir()) == ["README.md", "demo"]


def test_every_printed_command_is_run_or_marked():
    assert sorted(PRINTED) == sorted({*RUN, *MARKED} & {*PRINTED}), "add it to RUN, or to MARKED with its mark"
    for command, mark in MARKED.items():
        for page in PRINTED.get(command, []):
            assert mark in page.read_text(), (command, page.name)


@pytest.mark.parametrize("command", CODES)
def test_a_printed_command_works(inside, capsys, command):
    try:
        code = main(shlex.split(command)) or 0
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr()
    assert code in CODES[command], said.out[-2000:] + said.err[-2000:]
    assert "Traceback" not in said.err


@pytest.fixture(scope="module")
def deriver(clone):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(clone)
        yield Deriver()


@pytest.mark.parametrize("claim", load_claims(ROOT / CLAIMS).claims, ids=lambda claim: claim.id)
def test_a_claim_is_derived_again(inside, deriver, claim):
    assert [finding for item in deriver.derive(claim.id) for finding in item.findings()] == []


def test_figures_and_results_are_derived_again(inside, deriver):
    for name in deriver.names() - deriver.claims.keys():
        assert [finding for item in deriver.derive(name) for finding in item.findings()] == [], name
