"""An ssh server on 127.0.0.1 that serves a folder by SFTP, and a home folder whose ~/.ssh/config knows it by a name."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncssh


@contextlib.contextmanager
def ssh_server(root: Path, home: Path, name: str) -> Iterator[None]:
    """Serve `root` as `/` to the one key that stands in `home`, where the server is called `name`, until the end."""
    key, host_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(key.export_public_key().decode()),
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=bytes(root)),
        )

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(listen(), loop).result(timeout=10)
        write_home(home, name, server.get_port(), key)
        yield
        loop.call_soon_threadsafe(server.close)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def write_home(home: Path, name: str, port: int, key: asyncssh.SSHKey) -> None:
    folder = home / ".ssh"
    folder.mkdir(parents=True)
    key.write_private_key(folder / "id_ed25519")
    (folder / "config").write_text(f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n")
