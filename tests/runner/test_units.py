"""The resumable map: what is stored is reused, what changed is computed, the executor does not matter."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from darkmatter.runner import code_identity, units
from darkmatter.runner.units import Unit, UnitError, run_units

ROOT = Path(__file__).parents[2]


def write_square(out, number):
    (out / "square.txt").write_text(str(number**2))


def write_pinned(out, number, pinned=None):
    write_square(out, number)


def fail_at_three(out, number):
    if number == 3:
        raise ValueError("three")
    write_square(out, number)


def write_nothing(out, number):
    pass


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(units, "STORE", tmp_path / "store")
    monkeypatch.setenv("DARKMATTER_WORKERS", "1")
    monkeypatch.chdir(tmp_path)
    code_identity.code_hash.cache_clear()


def make(numbers):
    return [Unit(f"group/{number}", {"number": number}) for number in numbers]


def test_only_new_units_are_computed_and_old_folders_go(tmp_path):
    out = tmp_path / "out"
    assert run_units(write_square, make([1, 2]), out, "s").computed == ["group/1", "group/2"]
    ledger = run_units(write_square, make([2, 4]), out, "s")
    assert (ledger.computed, ledger.reused) == (["group/4"], ["group/2"])
    assert sorted(path.name for path in (out / "group").iterdir()) == ["2", "4"]
    assert (out / "group" / "4" / "square.txt").read_text() == "16"


def test_fresh_ignores_the_store(tmp_path, monkeypatch):
    run_units(write_square, make([1]), tmp_path / "out", "s")
    monkeypatch.setenv("DARKMATTER_FRESH", "1")
    assert run_units(write_square, make([1]), tmp_path / "out", "s").computed == ["group/1"]


def test_input_content_enters_the_key(tmp_path):
    source = tmp_path / "input"
    keys = set()
    for content in ("a", "b"):
        source.write_text(content)
        units.input_hash.cache_clear()
        keys.add(units.key(write_square, Unit("u", {"number": 1}, (source,))))
    assert len(keys) == 2


def write_names(out, source, more):
    (out / "names.json").write_text(json.dumps([source, more]))


@pytest.mark.parametrize("place", ["source", "more"])
def test_a_path_among_the_arguments_is_an_input_and_comes_as_its_name(tmp_path, place):
    files = {name: tmp_path / name for name in ("source", "more")}
    for file in files.values():
        file.write_text("a")
    as_names = {"source": str(files["source"]), "more": [{"file": str(files["more"])}]}
    as_paths = {"source": files["source"], "more": [{"file": files["more"]}]}
    unit = Unit("u", as_paths)
    assert units.key(write_names, unit) == units.key(write_names, Unit("u", as_names, tuple(files.values())))
    run_units(write_names, [unit], tmp_path / "out", "s")
    assert json.loads((tmp_path / "out" / "u" / "names.json").read_text()) == list(as_names.values())
    assert run_units(write_names, [unit], tmp_path / "out", "s").reused == ["u"]
    files[place].write_text("b")
    units.input_hash.cache_clear()
    assert run_units(write_names, [unit], tmp_path / "out", "s").computed == ["u"]


def test_what_a_run_has_settled_is_part_of_the_key_from_then_on(tmp_path):
    before, after = (Unit("u", {"number": 2, **settled}) for settled in ({}, {"pinned": "a"}))
    run_units(write_pinned, [before], tmp_path / "out", "s")
    units.rename_unit(write_pinned, before, after, "s")
    units.rename_unit(write_pinned, after, after, "s")
    assert run_units(write_pinned, [after], tmp_path / "out", "s").reused == ["u"]
    assert run_units(write_pinned, [before], tmp_path / "out", "s").computed == ["u"]


def write_square_here(out, number):
    (out / "square.txt").write_text(f"{number**2}{os.environ.get('MACHINE', '')}")


def copy_number(out, source, plus):
    (out / "copy.txt").write_text(f"{Path(source, 'square.txt').read_text()} {plus}")


def draw_and_copy(out, *plus):
    """A map whose units are forgotten, and one that reads them; the records of both."""
    drawn = run_units(write_square_here, make([2, 3]), out / "drawn", "drawn")
    sources = {number: out / "drawn" / "group" / str(number) for number in (2, 3)}
    pairs = zip(sources.items(), plus, strict=True)
    copies = [Unit(str(number), {"source": source, "plus": more}) for (number, source), more in pairs]
    copied = run_units(copy_number, copies, out / "copied", "copied")
    units.forget_units("drawn", keep_hashes=True)
    shutil.rmtree(out / "drawn", ignore_errors=True)
    units.input_hash.cache_clear()
    return drawn, copied


def test_what_was_made_of_forgotten_units_is_found_without_them(tmp_path):
    draw_and_copy(tmp_path, 0, 0)
    assert list((units.STORE / "drawn").glob("*/")) == []
    drawn, copied = draw_and_copy(tmp_path, 0, 0)
    assert drawn.computed == copied.computed == [] and copied.reused == ["2", "3"]
    assert (tmp_path / "copied" / "3" / "copy.txt").read_text() == "9 0" and not (tmp_path / "drawn").exists()


def test_forgotten_units_are_made_again_for_a_new_reader(tmp_path):
    draw_and_copy(tmp_path, 0, 0)
    assert draw_and_copy(tmp_path, 0, 1)[1].computed == ["3"]
    assert (tmp_path / "copied" / "3" / "copy.txt").read_text() == "9 1"
    assert draw_and_copy(tmp_path, 0, 0)[1].computed == []  # they were forgotten once more


def test_where_other_bytes_are_made_again_nothing_rests_on_both(tmp_path, monkeypatch):
    draw_and_copy(tmp_path, 0, 0)
    monkeypatch.setenv("MACHINE", " elsewhere")
    assert draw_and_copy(tmp_path, 0, 0)[1].computed == []
    with pytest.raises(UnitError, match=r"drawn was made again .* Run the same command again"):
        draw_and_copy(tmp_path, 0, 1)
    assert draw_and_copy(tmp_path, 0, 1)[1].computed == ["2", "3"]
    assert (tmp_path / "copied" / "2" / "copy.txt").read_text() == "4 elsewhere 0"
    assert draw_and_copy(tmp_path, 0, 1)[1].computed == []


def test_forgotten_units_of_forgotten_ones_are_made_again_once(tmp_path):
    """What reads both meets them in any order."""

    def run(plus):
        one = run_units(write_square_here, [Unit("u", {"number": 3})], tmp_path / "one", "one")
        source = tmp_path / "one" / "u"
        two = run_units(copy_number, [Unit("u", {"source": source, "plus": 0})], tmp_path / "two", "two")
        both = Unit("u", {"source": source, "plus": plus}, (tmp_path / "two" / "u",))
        last = run_units(copy_number, [both], tmp_path / "last", "last")
        for stage in ("one", "two"):
            units.forget_units(stage, keep_hashes=True)
            shutil.rmtree(tmp_path / stage, ignore_errors=True)
        units.input_hash.cache_clear()
        return [record.computed for record in (one, two, last)]

    assert run(0) == [["u"], ["u"], ["u"]]
    assert run(0) == [[], [], []]
    assert run(1) == [[], [], ["u"]]


def test_fresh_makes_forgotten_units_again(tmp_path, monkeypatch):
    draw_and_copy(tmp_path, 0, 0)
    monkeypatch.setenv("DARKMATTER_FRESH", "1")
    drawn, copied = draw_and_copy(tmp_path, 0, 0)
    assert len(drawn.computed) == len(copied.computed) == 2


def test_failure_keeps_finished_units(tmp_path):
    with pytest.raises(UnitError, match=r"group/3: ValueError: three"):
        run_units(fail_at_three, make([1, 2, 3]), tmp_path / "out", "s")
    assert not (tmp_path / "out").exists()
    assert run_units(fail_at_three, make([1, 2]), tmp_path / "out", "s").reused == ["group/1", "group/2"]


def test_processes_give_the_same_as_one(tmp_path, monkeypatch):
    monkeypatch.setenv("DARKMATTER_WORKERS", "2")
    ledger = run_units(write_square, make(range(4)), tmp_path / "out", "s")
    assert len(ledger.computed) == 4
    assert {(tmp_path / "out" / "group" / str(n) / "square.txt").read_text() for n in range(4)} == {"0", "1", "4", "9"}
    assert ledger.peak_memory_bytes > 0


def test_unit_without_files_and_twins_are_refused(tmp_path):
    with pytest.raises(UnitError, match="left no files"):
        run_units(write_nothing, make([1]), tmp_path / "out", "s")
    with pytest.raises(UnitError, match="share a name"):
        run_units(write_square, make([1, 1]), tmp_path / "out", "s")


def test_code_hash_is_blind_to_comments_and_sees_code(tmp_path, monkeypatch):
    monkeypatch.setattr(code_identity, "ROOT", tmp_path)
    file = tmp_path / "module.py"
    hashes = []
    for text in ('"""Doc."""\nx = 1\n', '"""Other."""\nx = 1  # why\n', '"""Doc."""\nx = 2\n'):
        file.write_text(text)
        code_identity.code_hash.cache_clear()
        hashes.append(code_identity.code_hash(file))
    assert hashes[0] == hashes[1] != hashes[2]


def test_workers_end_with_a_killed_stage(tmp_path):
    """The fork server outlives the stage and would let its workers write on: they watch the stage themselves."""
    environment = {**os.environ, "DARKMATTER_WORKERS": "2", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.support.slow_units", str(tmp_path)]
    stage = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    started = time.monotonic()
    while len(list((tmp_path / "store").rglob(".*"))) < 2:  # both units are being written
        assert stage.poll() is None
        assert time.monotonic() - started < 60
        time.sleep(0.1)
    family = psutil.Process(stage.pid).children(recursive=True)
    assert len(family) >= 3
    stage.kill()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
