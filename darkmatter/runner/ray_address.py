"""Does a Ray cluster answer at an address? Asked before Ray is, which waits for a dead one for many minutes.

Ray's servers speak gRPC, so that one thing tells them from a closed port, a silent one and another program: to the
first bytes of HTTP/2 they answer with their settings.
"""

import os
import socket
import sys
import tempfile

from darkmatter.storage.artifacts import ArtifactError

SECONDS = 10.0  # for a name, a connection and an answer; one node away they take milliseconds
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # preface, empty SETTINGS frame
SETTINGS = 4  # type of the first frame of a server
SOCKET_PATH = 103 if sys.platform == "darwin" else 107  # bytes that a path of a socket may have
BELOW_TMPDIR = len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
START = "Start one with `ray start --head`, or set RAY_ADDRESS to that of one that runs."


def check_address(address: str) -> None:
    """Anything but host:port and ray://host:port is Ray's to read.

    Raises:
        ArtifactError: no Ray cluster answers there.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or "/" in host or not port.isdecimal():
        return
    try:
        answer = greet(host.strip("[]"), int(port))
    except (OSError, OverflowError, UnicodeError) as error:
        why = f"no answer within {SECONDS:g} s" if isinstance(error, TimeoutError) else str(error)
        raise unreachable(address, why) from None
    if answer is not None and (len(answer) < 9 or answer[3] != SETTINGS):
        raise unreachable(address, "what listens there is another program")


def greet(host: str, port: int) -> bytes | None:
    """The first bytes of what a server answers; None where it would have to be greeted with TLS."""
    with socket.create_connection((host, port), timeout=SECONDS) as server:
        if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
            return None
        server.sendall(GREETING)
        answer = b""
        while len(answer) < 9 and (more := server.recv(64)):
            answer += more
        return answer


def unreachable(address: str, why: object) -> ArtifactError:
    """No cluster at an address, and what to do; with a word on a folder too deep to start one in."""
    return ArtifactError(" ".join([f"no Ray cluster answers at {address!r} ({why}). {START}", *too_deep()]))


def too_deep() -> list[str]:
    """One sentence where Ray could not make its sockets on this machine, as in a job's folder for temporary files."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir()
    room = SOCKET_PATH - BELOW_TMPDIR
    if len(os.fsencode(folder)) <= room:
        return []
    return [
        f"Before that, `export RAY_TMPDIR=/tmp`: Ray puts its sockets below {folder}, and for their paths that name is "
        f"{len(os.fsencode(folder)) - room} bytes too long."
    ]
