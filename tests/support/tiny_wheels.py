"""Wheels made in a test."""

import hashlib
import zipfile
from pathlib import Path

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make_wheel(folder: Path, name: str = "tiny-text", members: dict[str, bytes] | None = None) -> tuple[str, str, Path]:
    """A wheel in `folder`: its requirement, sha256 and path. Importing it would fail."""
    folder.mkdir(parents=True, exist_ok=True)
    module = name.replace("-", "_")
    content = {f"{module}/__init__.py": b"raise RuntimeError('imported')", **(members or {f"{module}/a.txt": b"text"})}
    content |= {f"{module}-1.0.dist-info/METADATA": METADATA.format(name=name).encode()}
    content |= {f"{module}-1.0.dist-info/WHEEL": WHEEL.encode(), f"{module}-1.0.dist-info/RECORD": b""}
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in content.items():
            archive.writestr(member, data)
    return f"{name}==1.0", hashlib.sha256(path.read_bytes()).hexdigest(), path
