"""The list of published SAEs that sae-lens ships, read without importing sae-lens or torch."""

import functools
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from darkmatter.saes.published.names import names_transcoder
from darkmatter.saes.published.options import TRANSCODER
from darkmatter.storage.artifacts import ArtifactError

FORMAT_OF_LOADER = {
    None: "sae-lens",
    "sae_lens": "sae-lens",
    "gemma_2": "gemma-scope",
    "gemma_3": "gemma-scope-2",
    "llama_scope": "llama-scope",
    "sparsify": "sparsify",
    "dictionary_learning_1": "dictionary-learning",
}
PICKLE = "its weights are a pickle, and loading one runs whatever code is in it"
REFUSED_LOADERS = {
    "connor_rob_hook_z": PICKLE,
    "goodfire": PICKLE,
    "deepseek_r1": PICKLE,
    "qwen_scope": PICKLE,
    "gemma_2_transcoder": TRANSCODER,
    "mwhanna_transcoder": TRANSCODER,
    "mntss_clt_layer_transcoder": TRANSCODER,
    "temporal": "its codes depend on the tokens before, so one row of activations does not determine them",
    "llama_scope_r1_distill": "how its thresholds go with its norm factor has not been checked here",
}


@dataclass(frozen=True)
class Listed:
    """One SAE of the registry. `folder` is where it lies in `repo`; None in a number: the registry does not say."""

    release: str
    id: str
    repo: str
    folder: str
    loader: str | None
    nominal_l0: float | None
    variance_explained: float | None
    norm_scaling_factor: float | None

    @property
    def format(self) -> str:
        """One of FORMATS.

        Raises:
            ArtifactError: nothing here reads such SAEs; says why.
        """
        if self.loader not in FORMAT_OF_LOADER:
            reason = REFUSED_LOADERS.get(self.loader or "", f"no reader for sae-lens's loader {self.loader!r} is here")
            raise ArtifactError(
                f"{self.release}/{self.id}: {reason}. Convert it to sae-lens's format where you trust it."
            )
        if names_transcoder(f"{self.repo}/{self.folder}"):
            raise ArtifactError(f"{self.release}/{self.id}: {TRANSCODER}.")
        return FORMAT_OF_LOADER[self.loader]


@functools.cache
def content() -> dict[str, dict[str, Any]]:
    package = importlib.util.find_spec("sae_lens")
    if package is None or package.origin is None:
        raise ArtifactError(
            "sae-lens is not installed, so its registry of SAEs cannot be read: `make repro` installs it"
        )
    path = Path(package.origin).parent / "pretrained_saes.yaml"
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


def version() -> str:
    return importlib.metadata.version("sae-lens")


def releases() -> list[str]:
    return list(content())


def saes_of(release: str) -> list[Listed]:
    """The SAEs of a release in the order of the registry."""
    facts = content()[release]
    return [
        Listed(
            release,
            entry["id"],
            facts["repo_id"],
            str(entry["path"]),
            facts.get("conversion_func"),
            entry.get("l0"),
            entry.get("variance_explained"),
            entry.get("norm_scaling_factor"),
        )
        for entry in facts["saes"]
    ]


def find(release: str, id: str) -> Listed:
    """Raises ArtifactError when the release has no such SAE; names some that it has."""
    listed = saes_of(release)
    if match := next((sae for sae in listed if sae.id == id), None):
        return match
    near = sorted((sae.id for sae in listed), key=lambda other: -common_prefix(other, id))[:3]
    raise ArtifactError(f"{release} has no SAE {id!r} among its {len(listed)}; it has {', '.join(near)} …")


def common_prefix(a: str, b: str) -> int:
    return next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def at(repo: str, folder: str) -> Listed | None:
    """The registry's entry for a folder of a repository, if it has one."""
    for release, facts in content().items():
        if facts["repo_id"] == repo:
            for sae in saes_of(release):
                if sae.folder == folder:
                    return sae
    return None
