"""What is run: the SAE of the paper's published code on Gemma 2 2B, on the first contexts of its text.

Model, text, SAE, hookpoint and the options of the decomposition are those of the profile `gemma-2-2b`, so that a check
says something about a run of that profile. What is here makes the check small, and no profile has it.
"""

from dataclasses import dataclass
from pathlib import Path

from darkmatter.params.data import Dataset, Model
from darkmatter.params.decomposition import Decomposition
from darkmatter.params.saes import SaeSpec
from darkmatter.params.schema import Params
from darkmatter.storage.paths import MANIFESTS

PROFILE = "gemma-2-2b"
CONTEXTS = 20  # seconds of work; so few that regressions overfit by a third: `expected` says what that does to R²
BUFFER = 200  # the profile's 10,000 would stream several times as much text
DOCUMENTS = 2000  # one in four fills a context; no more are read than are needed


@dataclass(frozen=True)
class Protocol:
    """What the check runs: a model, a text, an SAE, and how much of them.

    Attributes:
        sae: of sae-lens's registry; `manifest` is the list that pins it.
        decomposition: which rows fit, which are left out as outliers, and the bootstrap.
    """

    profile: str
    model: Model
    dataset: Dataset
    sae: SaeSpec
    manifest: Path
    contexts: int
    context_length: int
    first_position: int
    decomposition: Decomposition

    @property
    def release(self) -> str:
        return self.sae.reference.partition("/")[0]

    @property
    def sae_id(self) -> str:
        """Of the SAE in its release."""
        return self.sae.reference.partition("/")[2]


def protocol_of(params: Params) -> Protocol:
    """The check of a profile: its SAE of section 5.2, which is the one of the published code."""
    return Protocol(
        profile=params.profile,
        model=params.model,
        dataset=params.corpus.dataset.model_copy(update={"buffer": BUFFER, "documents": DOCUMENTS}),
        sae=params.sae_spec(f"{params.figures.main_hookpoint}/{params.error_saes.sae}"),
        manifest=MANIFESTS / f"{params.saes.published.manifest}.json",
        contexts=CONTEXTS,
        context_length=params.tokens.context_length,
        first_position=params.tokens.first_position,
        decomposition=params.decomposition,
    )
