"""What an estimate is in a results file: a number with its interval, or a null with its reason.

The JSON schemas of the results files (`docs/schemas/`) are written from these types and those of each experiment.
"""

from typing import Generic, TypeVar

from typing_extensions import TypedDict

T = TypeVar("T")


class Ends(TypedDict):
    """The ends of an interval."""

    low: float
    high: float


class JointEnds(TypedDict):
    """The ends at the level at which all intervals of a claim hold together; null where they are not known."""

    level: float
    low: float | None
    high: float | None


class OfSeed(TypedDict, total=False):
    """What another training seed does to a number.

    Attributes:
        deviation, freedom: standard deviation, and the degrees of freedom that it is known with.
        reason: why it is not known, in place of both.
    """

    deviation: float
    freedom: int
    reason: str


class Facts(TypedDict, total=False):
    """What an estimate says beside its number.

    Attributes:
        rows, contexts, rank: scored rows, their contexts, and the rank of the regression.
        reason: why the number is null.
        level: of the interval, where it is not that of params.yaml for all numbers.
        joint: the ends at the joint level.
        resampled: the sources of noise that the interval holds; `intervals`: each of them alone; `absent`: those that
            it does not hold, with the reason.
        of_seed: what the training seed would add, where the interval does not hold it; a claim may add it.
        resamples: number of them.
        short: why the interval is not the one that a rule asks for.
        saes, latents: how many the number is a mean over; of a difference of two parts, how many of each.
        seeds, by_seed: number of random seeds, and each one's value.
        deviation_contexts, deviation_seeds: standard deviations that the interval is made of.
    """

    rows: int
    contexts: int | None
    rank: int | None
    reason: str
    level: float
    joint: JointEnds
    resampled: str
    resamples: int
    intervals: dict[str, Ends]
    absent: dict[str, str]
    of_seed: OfSeed
    short: str
    saes: int
    latents: int | list[int]
    seeds: int
    by_seed: list[float | None]
    deviation_contexts: float
    deviation_seeds: float


class Estimate(Facts):
    """A number with the ends of its interval; a null has its reason."""

    value: float | None
    low: float | None
    high: float | None


class BySplit(TypedDict, Generic[T]):
    """One of each split, by how rows are held out: single tokens, or whole contexts."""

    token: T
    context: T


class ByConvention(TypedDict, Generic[T]):
    """One of each convention: the paper's, and that of the published code."""

    paper: T
    authors: T


class R2Estimates(BySplit[ByConvention[Estimate]]):
    """R² of one regression; `in_sample` is fitted and scored on all rows."""

    in_sample: Estimate
