"""Which SAEs the experiment trains, and what they are called. No torch.

`standard` and `gated` have an L1 penalty, `jumprelu` one on L0. `topk`, `abstopk` and `matching_pursuit` choose k
latents of a token; `batchtopk` and `matryoshka_batchtopk` choose k per token over a batch, and are JumpReLU SAEs with
one threshold once they are trained. `skip_R` is TopK beside a linear map of rank R.
"""

from dataclasses import dataclass

from darkmatter.experiments.architectures.params import Architectures, Size

TOPK, STANDARD, PURSUIT, SKIP = "topk", "standard", "matching_pursuit", "skip"
STORED = "architectures_sums.npz"  # beside the results file: `rows`, `square`, `cross` of x; rank/SPLIT; SAE/SUM
SUMS = "sums.npz"  # of one SAE, as `compute.measure` writes it


@dataclass(frozen=True)
class ComparedSae:
    """One SAE of the experiment.

    Attributes:
        variant: a training class of sae-lens, or `skip_RANK`.
        rank: of the skip; None of those without.
    """

    variant: str
    rank: int | None
    d_sae: int
    k: int
    seed: int
    train_tokens: int

    @property
    def architecture(self) -> str:
        return self.variant if self.rank is None else SKIP

    @property
    def name(self) -> str:
        return f"{self.variant}-{self.d_sae}-k{self.k}-s{self.seed}"


def variants(own: Architectures) -> dict[str, int | None]:
    """Variant → rank of its skip; TopK first, since the others are held against it."""
    plain = sorted(own.classes, key=lambda name: name != TOPK)
    skips = {f"{SKIP}_{rank}": rank for rank in own.skip_ranks} if own.classes else {}
    return dict.fromkeys(plain) | skips


def budget(size: Size, variant: str) -> int | None:
    """Tokens of one SAE; None where the variant is left out."""
    return size.slow_tokens if variant == PURSUIT else size.train_tokens


def trained(own: Architectures) -> list[ComparedSae]:
    """Every SAE of the experiment."""
    return [sae for size in own.sizes for variant in variants(own) for sae in of_variant(own, size, variant)]


def of_variant(own: Architectures, size: Size, variant: str) -> list[ComparedSae]:
    """The SAEs of one variant and size: all k of one seed, then those of the next."""
    tokens, rank = budget(size, variant), variants(own)[variant]
    if tokens is None:
        return []
    return [ComparedSae(variant, rank, size.d_sae, k, seed, tokens) for seed in size.seeds for k in sorted(own.k)]
