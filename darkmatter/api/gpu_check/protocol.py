"""What is run: the SAE of the paper's published code on Gemma 2 2B, on the first contexts of its text."""

from dataclasses import dataclass
from pathlib import Path

from darkmatter.params.data import Dataset, Model


@dataclass(frozen=True)
class Protocol:
    """Attributes:
    release, sae: of sae-lens's registry; `manifest` is the list that pins it.
    contexts: so few that regressions overfit by a third; `expected` says what that does to R².
    """

    model: Model
    dataset: Dataset
    release: str
    sae: str
    manifest: Path
    hookpoint: str
    contexts: int
    context_length: int
    first_position: int

    @property
    def reference(self) -> str:
        return f"{self.release}/{self.sae}"


PROTOCOL = Protocol(
    model=Model(
        source="huggingface",
        label="gemma-2-2b",
        repo="google/gemma-2-2b",
        revision="c5ebcd40d208330abc697524c919956e692655cf",
        dtype="bfloat16",
        gated=True,
    ),
    dataset=Dataset(
        repo="monology/pile-uncopyrighted",
        revision="3be90335b66f24456a5d6659d9c8d208c0357119",
        files="train/{:02d}.jsonl.zst",
        shards=30,
        text_field="text",
        domain_field="meta.pile_set_name",
        licence="as its sources",
        shuffle_seed=42,
        buffer=200,  # the paper's 10,000 would stream several times as much
        min_bytes=1023,
        documents=2000,  # one in four fills a context; no more are read than are needed
    ),
    release="gemma-scope-2b-pt-res",
    sae="layer_12/width_16k/average_l0_82",
    manifest=Path("conf/manifests/gemma-2-2b.json"),
    hookpoint="resid_post.12",
    contexts=20,
    context_length=1024,
    first_position=200,
)
