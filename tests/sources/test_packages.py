"""Packages: fetched by hash, kept, and read as archives that cannot leave their folder."""

import socket
import time
import zipfile

import pytest
from tiny_wheels import make_wheel

from darkmatter.params.data import Wheel
from darkmatter.sources import packages
from darkmatter.sources.packages import Archive, fetch, pip_command
from darkmatter.sources.wheel_files import join_members
from darkmatter.storage.artifacts import ArtifactError, sha256_bytes


@pytest.fixture
def no_pip(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("pip was called")

    return lambda: monkeypatch.setattr(packages.subprocess, "run", refuse)


def test_a_wheelhouse_takes_the_place_of_the_index_and_the_wheel_is_kept(tmp_path, no_pip):
    requirement, sha256, path = make_wheel(tmp_path / "house")
    store = tmp_path / "store"
    wheel = fetch(requirement, sha256, tmp_path / "house", store)
    assert wheel.parent == store / sha256 and wheel.read_bytes() == path.read_bytes()
    no_pip()
    assert fetch(requirement, sha256, None, store) == wheel


def test_a_damaged_kept_wheel_is_fetched_anew(tmp_path):
    requirement, sha256, path = make_wheel(tmp_path / "house")
    wheel = fetch(requirement, sha256, tmp_path / "house", tmp_path / "store")
    wheel.write_bytes(wheel.read_bytes()[:-1])
    again = fetch(requirement, sha256, tmp_path / "house", tmp_path / "store")
    assert again.read_bytes() == path.read_bytes()


def test_another_hash_is_refused_and_nothing_is_kept(tmp_path):
    requirement, _, _ = make_wheel(tmp_path / "house")
    with pytest.raises(ArtifactError, match=r"tiny-text==1\.0.*another file than the pinned sha256 0000"):
        fetch(requirement, "0" * 64, tmp_path / "house", tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.whl"))


def test_our_own_hash_check_does_not_rely_on_pip(tmp_path, monkeypatch):
    requirement, _, path = make_wheel(tmp_path / "house")

    def careless(requirement, sha256, wheelhouse, folder):
        (folder / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr(packages, "download", careless)
    with pytest.raises(ArtifactError, match="expected a wheel with sha256 0000"):
        fetch(requirement, "0" * 64, tmp_path / "house", tmp_path / "store")
    assert not (tmp_path / "store" / ("0" * 64)).exists()


def test_a_missing_package_is_named_with_the_command_that_fixes_it(tmp_path):
    make_wheel(tmp_path / "house")
    with pytest.raises(ArtifactError, match=r"absent-text==2\.0 was not found in the wheelhouse.*corpus\.wheelhouse="):
        fetch("absent-text==2.0", "1" * 64, tmp_path / "house", tmp_path / "store")
    with pytest.raises(ArtifactError, match="nowhere is not a folder"):
        fetch("absent-text==2.0", "1" * 64, tmp_path / "nowhere", tmp_path / "store")


def test_no_network_is_one_error_within_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "PIP_TIMEOUT", 1)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never answers
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        started = time.monotonic()
        with pytest.raises(ArtifactError, match=r"absent-text==2\.0 was not found on the package index.*wheelhouse="):
            fetch("absent-text==2.0", "1" * 64, None, tmp_path / "store")
    assert time.monotonic() - started < 20


def test_pip_is_asked_for_hashed_wheels_without_dependencies(tmp_path):
    command = pip_command(tmp_path / "r.txt", tmp_path, None)
    assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(command)
    assert command[command.index("--only-binary") + 1] == ":all:"
    assert "--no-index" not in command and "--no-index" in pip_command(tmp_path / "r.txt", tmp_path, tmp_path)


def test_members_are_selected_by_glob_and_read_as_text(tmp_path):
    members = {
        "tiny_text/a.txt": b"\xef\xbb\xbfone\r\ntwo\r",
        "tiny_text/deep/b.txt": b"caf\xe9",
        "tiny_text/B.TXT": b"",
        "tiny_text/c.md": b"",
    }
    _, _, path = make_wheel(tmp_path, members=members)
    with Archive(path) as archive:
        assert archive.select(["tiny_text/*.txt"]) == ["tiny_text/a.txt", "tiny_text/deep/b.txt"]
        assert archive.select(["*.txt"], ["*/deep/*"]) == ["tiny_text/a.txt"]
        assert archive.text("tiny_text/a.txt") == "one\ntwo\n"
        assert archive.text("tiny_text/deep/b.txt") == "café"
        with (tmp_path / "a.txt").open("wb") as file:
            archive.copy("tiny_text/a.txt", file)
        assert (tmp_path / "a.txt").read_bytes() == members["tiny_text/a.txt"]
        with pytest.raises(ArtifactError, match="has no member nothing"):
            archive.read("nothing")


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/etc/evil", "..\\evil.txt", "C:/evil.txt"])
def test_paths_that_leave_the_archive_are_refused(tmp_path, name):
    _, _, path = make_wheel(tmp_path, members={name: b"x"})
    with pytest.raises(ArtifactError, match="points out of the archive"):
        Archive(path)


def test_dots_inside_a_name_are_no_traversal(tmp_path):
    _, _, path = make_wheel(tmp_path, members={"a/..b/c...txt": b"x"})
    with Archive(path) as archive:
        assert archive.read("a/..b/c...txt") == b"x"


@pytest.mark.parametrize("limit", ["MEMBER_LIMIT", "ARCHIVE_LIMIT"])
def test_absurd_sizes_are_refused_before_unpacking(tmp_path, monkeypatch, limit):
    _, _, path = make_wheel(tmp_path, members={"big.txt": b"0" * 100_000})
    assert path.stat().st_size < 10_000
    with Archive(path):
        pass
    monkeypatch.setattr(packages, limit, 50_000)
    with pytest.raises(ArtifactError, match=r"100,000 bytes|members claim"):
        Archive(path)


def test_damage_is_one_clear_error(tmp_path):
    _, _, path = make_wheel(tmp_path, members={"a.txt": bytes(range(256)) * 50})
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("a.txt")
    content = bytearray(path.read_bytes())
    begin = info.header_offset + 30 + len(info.filename)
    content[begin + 5 : begin + 25] = bytes(20)
    path.write_bytes(content)
    with Archive(path) as archive, pytest.raises(ArtifactError, match="damaged"):
        archive.read("a.txt")
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match="damaged or not a wheel"):
        Archive(path)


def parts(tmp_path, *contents):
    """One wheel for each part of a file."""
    made = [make_wheel(tmp_path / "house", f"part-{n}", {"p/data": text}) for n, text in enumerate(contents)]
    return [Wheel(package=requirement, sha256=sha256, member="p/data") for requirement, sha256, _ in made]


def test_parts_of_several_packages_are_joined_in_order(tmp_path):
    wheels = parts(tmp_path, b"one ", b"two ", b"three")
    own = {"wheelhouse": tmp_path / "house", "store": tmp_path / "store"}
    join_members(wheels, sha256_bytes(b"one two three"), tmp_path / "whole", **own)
    assert (tmp_path / "whole").read_bytes() == b"one two three"
    with pytest.raises(ArtifactError, match=r"part-2==1\.0, part-1==1\.0, .* Correct the order of model\.wheels"):
        join_members(wheels[::-1], sha256_bytes(b"one two three"), tmp_path / "whole", **own)
    missing = wheels[0].model_copy(update={"member": "p/other"})
    with pytest.raises(ArtifactError, match="has no member p/other"):
        join_members([missing], sha256_bytes(b"one "), tmp_path / "whole", **own)
