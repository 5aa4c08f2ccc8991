"""What Fig. 1 is made of: FVU and FVU_nonlinear against width at one L0, the power law and the horizontal line; and
the part of FVU_nonlinear that a better encoder takes away.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as t_distribution

from darkmatter.params.conventions import PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.ladder import Ladder, ladder
from darkmatter.results.load import NotDrawn, Results, Sae, estimate
from darkmatter.statistics.power_law import PowerLaw, fit_power_law

L0_OF_PAPER = 60  # Fig. 1 takes, per width, the SAE with L0 closest to it


@dataclass(frozen=True)
class Line:
    """A horizontal line: the mean over widths, with the t interval of that mean (None for one width)."""

    value: float | None
    low: float | None
    high: float | None
    points: int


@dataclass(frozen=True)
class Encoder:
    """What gradient pursuit takes off FVU_nonlinear, the encoder error of Fig. 1 (section 6.1).

    Pursuit runs on some of Fig. 1's rows, whose FVU differs from that of all rows: so its relative change, measured
    on the same rows as the encoder it is compared with, is applied to the line.

    Attributes:
        change: variant → mean over the SAEs of the relative change of FVU_nonlinear.
        claimed: the variant that is drawn.
        low_edge: the line after that change; None where either is.
        rows, contexts: on which the change was measured.
        saes: number of them.
    """

    change: dict[str, float | None]
    claimed: str
    low_edge: float | None
    rows: int
    contexts: int
    saes: int


@dataclass(frozen=True)
class Breakdown:
    """A series of SAEs over width, with the curves through its FVU and FVU_nonlinear.

    Attributes:
        saes: the series, one SAE per width at one k.
        other_seeds: SAEs of the same width, k and budget but another seed: the noise no interval here holds.
        law: fitted to FVU.
        line: fitted to FVU_nonlinear.
        gap: asymptote − line; its interval is that of the claim on it (`estimands.breakdown_trends`), which resamples.
        encoder: None where there are no results of pursuit for these SAEs.
        ladder: the same SAEs on several budgets; None where the profile has one budget.
    """

    saes: list[Sae]
    other_seeds: list[Sae]
    law: PowerLaw
    line: Line
    gap: float | None
    encoder: Encoder | None = None
    ladder: Ladder | None = None

    @property
    def sparsity(self) -> str:
        """k where it was trained for, the L0 aimed at where SAEs were chosen among published ones."""
        first = self.saes[0]
        if first["train_tokens"]:
            return f"k = {first['k']}"
        return "published SAEs" if first["k"] is None else f"published SAEs of L0 nearest to {first['k']}"


def breakdown(results: Results, params: Params) -> Breakdown:
    """The series of the widths group at the main hookpoint, with its curves.

    Raises:
        NotDrawn: the profile has no SAE of the widths group at the main hookpoint.
    """
    chosen = params.figures
    saes, other_seeds = width_series(results, chosen.main_hookpoint, chosen.widths_group)
    points = [(sae["d_sae"], estimate(sae, "fvu")["value"]) for sae in saes]
    usable = [(width, fvu) for width, fvu in points if fvu is not None]
    level = params.decomposition.bootstrap.level
    law = fit_power_law(
        np.array([width for width, _ in usable], dtype=float),
        np.array([fvu for _, fvu in usable], dtype=float),
        chosen.power_law_starts,
        chosen.seed,
        level,
    )
    line = horizontal_line([estimate(sae, "fvu_nonlinear")["value"] for sae in saes], level)
    encoder, rungs = encoder_error(results, saes, line), ladder(results, params, saes[0])
    return Breakdown(saes, other_seeds, law, line, gap_between(law, line), encoder, rungs)


def width_series(results: Results, hookpoint: str, group: str) -> tuple[list[Sae], list[Sae]]:
    """The SAEs of a group at one k (the one with most widths, then nearest the paper's L0), and their other seeds."""
    saes = results.saes(hookpoint, [group])
    widths_at = {k: len({sae["d_sae"] for sae in saes if sae["k"] == k}) for k in {sae["k"] for sae in saes}}
    k = max(widths_at, key=lambda k: (widths_at[k], -abs((k or 0) - L0_OF_PAPER)))
    series: dict[int, Sae] = {}
    for sae in saes:
        if sae["k"] == k:
            series.setdefault(sae["d_sae"], sae)
    if not series:
        raise NotDrawn(f"no SAE of group {group} at hookpoint {hookpoint}")
    others = [
        sae
        for sae in results.saes(hookpoint)
        if sae["d_sae"] in series
        and sae["k"] == k
        and sae["train_tokens"] == series[sae["d_sae"]]["train_tokens"]
        and sae["seed"] != series[sae["d_sae"]]["seed"]
    ]
    return list(series.values()), others


def horizontal_line(values: list[float | None], level: float) -> Line:
    y = np.array([value for value in values if value is not None], dtype=float)
    if not len(y):
        return Line(None, None, None, 0)
    mean = float(y.mean())
    if len(y) == 1:
        return Line(mean, None, None, 1)
    half = float(t_distribution.ppf(0.5 + level / 2, len(y) - 1) * y.std(ddof=1) / np.sqrt(len(y)))
    return Line(mean, mean - half, mean + half, len(y))


def encoder_error(results: Results, saes: list[Sae], line: Line) -> Encoder | None:
    """The mean relative change of FVU_nonlinear by pursuit over the SAEs of the series, and the line it leads to."""
    try:
        run = results.experiment("pursuit")
    except NotDrawn:
        return None
    names = {sae["name"] for sae in saes}
    result = [sae["pursuit"] for sae in run["saes"] if sae["name"] in names]
    if not result:
        return None
    changes = {variant: mean_change([sae[variant] for sae in result]) for variant in run["variants"]}
    change = changes[run["claimed"]]
    low_edge = None if line.value is None or change is None else line.value * (1 + change)
    return Encoder(changes, run["claimed"], low_edge, run["rows"], run["contexts"], len(result))


def mean_change(pursued: list[dict[str, Any]]) -> float | None:
    split, convention = PRIMARY
    values = [sae["compared"][split][convention]["change"]["value"] for sae in pursued]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def gap_between(law: PowerLaw, line: Line) -> float | None:
    return None if law.asymptote is None or line.value is None else law.asymptote - line.value
