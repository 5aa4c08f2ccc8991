"""Addresses at which no Ray cluster answers: an error in seconds that says why and what to do."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fake_endpoint import in_turn, refusal, serving

from darkmatter.runner import ray_address
from darkmatter.runner.ray_address import BELOW_TMPDIR, GREETING, SOCKET_PATH, check_address, too_deep
from darkmatter.storage.artifacts import ArtifactError


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """The port of a server that answers a greeting so; None: it takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError), server.accept()[0] as connection:  # closed before it was taken
                greeting = connection.recv(len(GREETING), socket.MSG_WAITALL)
                if answer is not None:
                    connection.sendall(answer if greeting == GREETING else b"")
                else:
                    connection.recv(1)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> Iterator[int]:
    """A port on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(autouse=True)
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/short")
    monkeypatch.delenv("RAY_USE_TLS", raising=False)


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "localhost:{}"])
def test_nothing_listens(closed: int, address: str) -> None:
    address = address.format(closed)
    with pytest.raises(ArtifactError, match=r"no Ray cluster answers at .*refused.*ray start --head.*RAY_ADDRESS"):
        check_address(address)


def test_no_such_host() -> None:
    with pytest.raises(ArtifactError, match=r"no Ray cluster answers at 'no-such-host\.invalid:6379'"):
        check_address("no-such-host.invalid:6379")


def test_port_beyond_all_ports() -> None:
    with pytest.raises(ArtifactError, match="no Ray cluster answers"):
        check_address("127.0.0.1:99999")


def test_a_port_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_address, "SECONDS", 0.2)
    with listening(None) as port, pytest.raises(ArtifactError, match=r"no answer within 0.2 s"):
        check_address(f"127.0.0.1:{port}")


def test_another_program() -> None:
    with serving(in_turn(refusal(500))) as web, pytest.raises(ArtifactError, match="listens there is another program"):
        check_address(web.url.removeprefix("http://").removesuffix("/v1"))
    with listening(b"") as port, pytest.raises(ArtifactError, match="another program"):
        check_address(f"127.0.0.1:{port}")


def test_what_speaks_as_ray_does_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("", "ray://"):
        with listening(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])) as port:
            check_address(f"{scheme}127.0.0.1:{port}")
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with listening(None) as port:  # TLS: a connection must do
        check_address(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["local", "anyscale://some/cluster", "host"])
def test_other_addresses_are_left_to_ray(address: str) -> None:
    check_address(address)


def test_folders_too_deep_for_sockets(monkeypatch: pytest.MonkeyPatch, closed: int) -> None:
    room = SOCKET_PATH - BELOW_TMPDIR
    monkeypatch.setenv("RAY_TMPDIR", "/" + "d" * (room - 1))
    assert too_deep() == []
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setenv("TMPDIR", "/" + "é" * room)
    with pytest.raises(ArtifactError, match=rf"export RAY_TMPDIR=/tmp.* {room + 1} bytes too long"):
        check_address(f"127.0.0.1:{closed}")


def test_a_dead_cluster_ends_a_stage_soon(closed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By the units' own connection, for an address that is given and for one that Ray wrote down before it died."""
    ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
    from darkmatter.runner.ray_executor import connect

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed}")
    begun = time.monotonic()
    with pytest.raises(ArtifactError, match=rf"no Ray cluster answers at '127.0.0.1:{closed}'") as caught:
        connect()
    assert str(caught.value).count("no Ray cluster") == 1
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(ArtifactError, match=r"no Ray cluster answers at 'auto' \(Could not find any running Ray"):
        connect()
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{closed}")
    with pytest.raises(ArtifactError, match=rf"no Ray cluster answers at .*{closed}"):
        connect()
    assert time.monotonic() - begun < 20


def test_ray_s_own_limit_is_the_one_that_is_told(tmp_path: Path) -> None:
    """What Ray says of the shallowest folder that is too deep, in a process that ends before any cluster starts."""
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    from ray._private.utils import validate_socket_filepath

    fits = "/" + "d" * (SOCKET_PATH - BELOW_TMPDIR - 1) + "/ray/session_2026-01-01_00-00-00_000000_4194304"
    validate_socket_filepath(f"{fits}/sockets/plasma_store")
    with pytest.raises(OSError, match="AF_UNIX"):
        validate_socket_filepath(f"{fits}d/sockets/plasma_store")


def test_documented_command_names_the_folder() -> None:
    text = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text()
    script = text[text.index("#!/bin/bash") :]
    assert script.index("export RAY_TMPDIR=/tmp") < script.index("ray symmetric-run")
    assert f"may have {107 - BELOW_TMPDIR} bytes" in text
    assert subprocess.run(["bash", "-n"], input=script.split("```")[0], text=True).returncode == 0
