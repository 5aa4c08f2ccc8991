"""Options of the stage architectures."""

from typing import Literal

from pydantic import model_validator

from darkmatter.params.types import Count, Section

TrainingClass = Literal[
    "standard",
    "gated",
    "topk",
    "abstopk",
    "jumprelu",
    "batchtopk",
    "matryoshka_batchtopk",
    "matching_pursuit",
]


class Size(Section):
    """SAEs of one number of latents.

    Attributes:
        train_tokens: budget of each SAE.
        slow_tokens: budget of each SAE of matching pursuit, whose step has k products in place of one; None: it is left
            out at this size.
    """

    d_sae: Count
    seeds: list[int]
    train_tokens: Count
    slow_tokens: Count | None


class Architectures(Section):
    """Which SAEs are trained, and where they are compared.

    Attributes:
        classes: training classes of sae-lens; TopK is the one that the others are held against. None: the experiment is
            off.
        skip_ranks: ranks of the linear skip beside TopK.
        k: latents per token: exact, or what the sparsity loss is steered to.
        l0: where numbers are compared, interpolated between the SAEs around it.
        train_contexts: how many of the hookpoint's contexts are trained on.
        contexts: eval contexts that errors are measured on.
    """

    classes: list[TrainingClass]
    skip_ranks: list[Count]
    k: list[Count]
    l0: Count
    sizes: list[Size]
    train_contexts: Count
    contexts: Count

    @model_validator(mode="after")
    def comparable(self) -> "Architectures":
        if self.classes and "topk" not in self.classes:
            raise ValueError("classes lacks topk, which the others are held against")
        if self.classes and not min(self.k, default=0) < self.l0 < max(self.k, default=0):
            raise ValueError(f"l0 {self.l0} lies outside of k {self.k}")
        for name, listed in {"classes": self.classes, "skip_ranks": self.skip_ranks, "k": self.k}.items():
            if len(set(listed)) < len(listed):
                raise ValueError(f"{name} lists something twice")
        widths = [size.d_sae for size in self.sizes]
        if len(set(widths)) < len(widths):
            raise ValueError("sizes lists a d_sae twice")
        if self.classes and (
            not self.sizes or any(len(set(size.seeds)) < max(1, len(size.seeds)) for size in self.sizes)
        ):
            raise ValueError("sizes needs an entry, and each of them seeds that differ")
        if self.classes and (too_wide := [k for k in self.k if k > min(widths)]):
            raise ValueError(f"k = {too_wide[0]} exceeds d_sae = {min(widths)}")
        return self
