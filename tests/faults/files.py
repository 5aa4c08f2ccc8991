"""Damaged files, in every reader: cut short, flipped, hostile, pickled."""

import functools
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.faults import damage as of
from tests.faults.hostile_files import BOMBS, MUST_BE_REFUSED
from tests.faults.loaders import LOADERS, Loader, digest
from tests.faults.trial import WRONG, Trial, never, try_read

GROUP = "files"
BY_NAME = {loader.name: loader for loader in LOADERS}
FLIPS = 6  # of each file that carries a sum or a hash
FORCE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def trials(every: int = 1) -> Iterator[Trial]:
    """Every fault, or one of so many, spread over all kinds."""
    with tempfile.TemporaryDirectory() as name:
        cases = [*damaged(), *hostile(), *pickles()]
        for number, case in enumerate(cases[::every]):
            yield case.trial(Path(name) / str(number))


class Case:
    """A fault and the reader that meets it; one that may be survived leaves the content as it was."""

    def __init__(self, loader: Loader, fault: str, damage: of.Damage, survivable: bool = False) -> None:
        self.loader, self.fault, self.damage, self.survivable = loader, fault, damage, survivable

    def trial(self, folder: Path) -> Trial:
        place = folder / "inner"
        place.mkdir(parents=True)
        path = self.loader.make(place)
        self.damage(path)
        right = (lambda result: digest(result) == sound(self.loader)[0]) if self.survivable else never
        trial = try_read(GROUP, self.fault, self.loader.name, lambda: self.loader.read(path), right, hidden=place)
        shutil.rmtree(folder)
        return trial


@functools.cache
def sound(loader: Loader) -> tuple[str | None, int, str]:
    """Digest of what is read from a sound file, its size, and its suffix."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "inner"
        place.mkdir()
        path = loader.make(place)
        size = path.stat().st_size
        return None if loader.refused else digest(loader.read(path)), size, path.suffix


def damaged() -> Iterator[Case]:
    """Cuts at six places, and flipped bits where the file carries what tells them."""
    random = np.random.default_rng(0)
    for loader in LOADERS:
        size = sound(loader)[1]
        for end in (0, 1, 8, size // 4, size // 2, size - 1):
            yield Case(loader, "cut short", of.cut(end), survivable=True)
        for place in random.integers(size, size=FLIPS) if loader.checked else []:
            yield Case(loader, "a bit flipped", of.flipped(int(place), int(random.integers(8))), survivable=True)


def hostile() -> Iterator[Case]:
    for name, fault, damage in MUST_BE_REFUSED:
        yield Case(BY_NAME[name], fault, damage)
    for name, fault, damage in BOMBS:
        yield Case(BY_NAME[name], fault, damage, survivable=True)


class Canary:
    """What a pickle runs when it is loaded: it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


class PickleCase(Case):
    """A pickle in the place of a file, or inside it, with torch told to load anything or not.

    Attributes:
        way: writes the pickle of an object that would make a file if it were loaded.
    """

    def __init__(self, loader: Loader, way: str, forced: str) -> None:
        super().__init__(loader, f"{way}, {FORCE}={forced}" if forced else way, lambda path: None)
        self.way, self.forced = way, forced

    def trial(self, folder: Path) -> Trial:
        touched, before = folder.with_name(f"{folder.name}-canary"), os.environ.get(FORCE)
        self.damage = lambda path: WAYS[self.way](path, Canary(touched))
        os.environ[FORCE] = self.forced
        try:
            trial = super().trial(folder)
        finally:
            os.environ.pop(FORCE)
            os.environ.update({} if before is None else {FORCE: before})
        return Trial(GROUP, self.fault, self.loader.name, WRONG, "the pickle ran") if touched.exists() else trial


def objects(canary: Canary) -> np.ndarray:
    array = np.empty(3, dtype=object)
    array[:] = [canary, canary, canary]
    return array


WAYS = {
    "a pickle": lambda path, canary: path.write_bytes(pickle.dumps(canary)),
    "an array of objects": lambda path, canary: (np.savez if path.suffix == ".npz" else np.save)(
        path, objects(canary), allow_pickle=True
    ),
    "an object by torch.save": lambda path, canary: torch.save({"W_enc": canary}, path),
}


def pickles() -> Iterator[Case]:
    for loader in LOADERS:
        suffix = sound(loader)[2]
        ways = ["a pickle"]
        ways += ["an array of objects"] if suffix in (".npy", ".npz") else []
        ways += ["an object by torch.save"] if suffix in (".pt", ".safetensors", ".gguf") else []
        for way in ways:
            yield from (PickleCase(loader, way, forced) for forced in ("", "1"))
