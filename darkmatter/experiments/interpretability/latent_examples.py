"""Examples of a latent for explaining and judging it: windows of tokens, by how strongly it fires in them (Fig. 7).

Contexts are cut into windows that do not overlap. A latent's activation in a window is its largest. The strongest
windows are for explaining; the others that fire fall into deciles of equal size, of which the first is the weakest,
and some are drawn from each to be judged, with windows in which the latent is silent.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from darkmatter.storage.artifacts import ArtifactError

TOO_FEW_FIRINGS = "fires in too few windows for the deciles"
TOO_FEW_SILENCES = "silent in too few windows for the negatives"


@dataclass(frozen=True)
class ExampleCounts:
    """How many examples of each kind a latent needs; the fields of `interpretability` of the same names."""

    deciles: int
    examples_per_decile: int
    negatives: int
    explained_examples: int
    seed: int

    @property
    def firing(self) -> int:
        return self.explained_examples + self.deciles * self.examples_per_decile

    @property
    def silent(self) -> int:
        return self.explained_examples + self.negatives


@dataclass(frozen=True)
class Examples:
    """Windows of one latent.

    Attributes:
        explained: the strongest, strongest first.
        contrast: as many silent ones, which neither explain nor are judged; the surrogate learns from both.
        judged: in random order.
        decile: of each judged window, 1 (weakest) to `deciles`; 0 where the latent is silent.
    """

    latent: int
    explained: Int[np.ndarray, " example"]
    contrast: Int[np.ndarray, " example"]
    judged: Int[np.ndarray, " judged"]
    decile: Int[np.ndarray, " judged"]


@dataclass(frozen=True)
class LatentFirings:
    """Where each latent fires: sorted by latent, window, place.

    Attributes:
        latent, window, place, value: one entry for each firing; `place` is the token's place in its window.
        starts: [d_sae + 1], where each latent's entries begin.
        windows: number of windows.
    """

    latent: np.ndarray
    window: np.ndarray
    place: np.ndarray
    value: np.ndarray
    starts: np.ndarray
    windows: int

    def of(self, latent: int) -> tuple[np.ndarray, np.ndarray]:
        """The windows in which the latent fires, ascending, and its largest activation in each."""
        entries = slice(self.starts[latent], self.starts[latent + 1])
        windows, first = np.unique(self.window[entries], return_index=True)
        return windows, np.maximum.reduceat(self.value[entries], first) if len(first) else np.empty(0, np.float32)

    def places(self, latent: int, window: int) -> np.ndarray:
        """Places in one window at which the latent fires, ascending."""
        first = self.starts[latent]
        entries = self.window[first : self.starts[latent + 1]]
        return self.place[first + np.searchsorted(entries, window) : first + np.searchsorted(entries, window, "right")]

    def windows_fired(self) -> np.ndarray:
        """In how many windows each latent fires, [d_sae]."""
        begins = np.r_[True, (np.diff(self.latent) != 0) | (np.diff(self.window) != 0)][: len(self.latent)]
        return np.bincount(self.latent[begins], minlength=len(self.starts) - 1)


def cut_windows(tokens: np.ndarray, first: int, positions: int, size: int) -> Int[np.ndarray, "window size"]:
    """The tokens of every window: contexts one after another, windows from position `first` on, the rest left out.

    Args:
        tokens: [context, token]; positions first … first + positions − 1 have activations.

    Raises:
        ArtifactError: a context has fewer positions than a window has tokens.
    """
    count = positions // size
    if not count:
        raise ArtifactError(f"contexts of {positions} positions hold no window of {size} tokens")
    return tokens[:, first : first + count * size].reshape(-1, size)


def find_firings(codes: Mapping[str, np.ndarray], contexts: int, d_sae: int, size: int) -> LatentFirings:
    """Sort the codes of an SAE by latent.

    Args:
        codes: `index` and `value` [row, slot], rows = contexts × positions.

    Raises:
        ArtifactError: the rows are no whole number of contexts.
    """
    rows = len(codes["index"])
    positions, rest = divmod(rows, contexts)
    if rest:
        raise ArtifactError(f"codes of {rows} rows are not of {contexts} contexts. Run `dvc repro error_saes`.")
    row, slot = np.nonzero(codes["value"] > 0)
    context, position = np.divmod(row, positions)
    count = positions // size
    inside = position < count * size
    row, slot, context, position = (part[inside] for part in (row, slot, context, position))
    latent, value = codes["index"][row, slot], codes["value"][row, slot]
    order = np.argsort(latent, kind="stable")  # rows ascend, so windows and places stay sorted within a latent
    window, place = context * count + position // size, position % size
    starts = np.searchsorted(latent[order], np.arange(d_sae + 1))
    return LatentFirings(latent[order], window[order], place[order], value[order], starts, contexts * count)


def lacking(fired: Int[np.ndarray, " latent"], windows: int, plan: ExampleCounts) -> dict[str, np.ndarray]:
    """Reason → the latents that have too few examples for it, [latent] bool; no latent has two reasons.

    Args:
        fired: in how many of the windows each latent fires.
    """
    weak = fired < plan.firing
    return {TOO_FEW_FIRINGS: weak, TOO_FEW_SILENCES: ~weak & (windows - fired < plan.silent)}


def choose_latents(firings: LatentFirings, plan: ExampleCounts, number: int, stream: int) -> list[int]:
    """Random latents that have enough examples, in the order they were drawn.

    Args:
        stream: parts the random numbers of the two SAEs.
    """
    fired = firings.windows_fired()
    skipped = np.any(list(lacking(fired, firings.windows, plan).values()), axis=0)
    order = np.random.default_rng([plan.seed, stream]).permutation(len(fired))
    return order[~skipped[order]][:number].tolist()


def choose_examples(firings: LatentFirings, latent: int, plan: ExampleCounts, stream: int) -> Examples:
    """Draw the examples of one latent; the draw depends on nothing but seed, stream and latent.

    Raises:
        ValueError: it has too few, which `choose_latents` would have said.
    """
    windows, strength = firings.of(latent)
    silent = np.setdiff1d(np.arange(firings.windows), windows)
    if len(windows) < plan.firing or len(silent) < plan.silent:
        raise ValueError(f"latent {latent} fires in {len(windows)} windows and is silent in {len(silent)}")
    random = np.random.default_rng([plan.seed, stream, latent])
    order = np.lexsort((windows, strength))  # ascending; equal strengths by window
    explained = windows[order[::-1][: plan.explained_examples]]
    deciles = np.array_split(order[: len(order) - plan.explained_examples], plan.deciles)
    drawn = [windows[random.choice(members, plan.examples_per_decile, replace=False)] for members in deciles]
    quiet = random.choice(silent, plan.silent, replace=False)
    contrast, negatives = np.split(quiet, [plan.explained_examples])
    judged = np.concatenate([negatives, *drawn])
    decile = np.repeat(np.arange(plan.deciles + 1), [plan.negatives, *([plan.examples_per_decile] * plan.deciles)])
    mixed = random.permutation(len(judged))  # the order must tell the judge nothing
    return Examples(latent, explained, contrast, judged[mixed], decile[mixed])
