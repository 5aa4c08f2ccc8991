"""A bar over the passes of a decomposition, weighted by what each costs, so that the time left means something."""

from dataclasses import dataclass, field

from tqdm import tqdm

# Seconds of one core per 100 contexts of 823 rows at d_model 576; all but the encoder's grow with d_model² alike.
MOMENTS = ("moments of x", 1.3)  # of each of its two passes
COSTS = {"linear maps": 2.4, "parts of the error": 6.2, "norm probes": 0.5}
ENCODING = 1.2  # × d_sae / d_model
BAR = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}"


@dataclass(frozen=True)
class SaePasses:
    """What is done for one SAE.

    Attributes:
        name: shown beside the bar; "" where there is one SAE only.
        latents: d_sae / d_model; 0 where nothing is encoded.
        anew: the SAE runs within the two passes over its error instead of once before them.
        times: how often these passes are made: twice with a skip connection, with and without it.
    """

    name: str
    latents: float
    anew: bool
    times: int = 1

    def steps(self, contexts: int) -> list[tuple[str, int, float]]:
        """(what is done, contexts read, cost of one) in the order of the passes."""
        encoding = ENCODING * self.latents
        costs = COSTS | {name: COSTS[name] + 2 * encoding * self.anew for name in ("linear maps", "parts of the error")}
        reads = {"linear maps": contexts + 1, "parts of the error": contexts, "norm probes": 2 * contexts}
        steps = [(name, reads[name], cost) for name, cost in costs.items()] * self.times
        if encoding and not self.anew:
            steps.insert(0, ("encoding", contexts, encoding))
        return [(": ".join(filter(None, (self.name, what))), count, cost) for what, count, cost in steps]


@dataclass
class Progress:
    """Ticks of contexts read, in the order of the passes.

    Attributes:
        shown: on standard error, where that is a terminal.
    """

    contexts: int
    saes: list[SaePasses]
    shown: bool
    left: list[tuple[str, int, float]] = field(init=False)
    bar: tqdm = field(init=False)

    def __post_init__(self) -> None:
        self.left = [(MOMENTS[0], 2 * self.contexts, MOMENTS[1])]
        for sae in self.saes:
            self.left += sae.steps(self.contexts)
        total = sum(count * cost for _, count, cost in self.left)
        self.bar = tqdm(total=total, bar_format=BAR, disable=None if self.shown else True, dynamic_ncols=True)
        self.bar.set_description(self.left[0][0])

    def tick(self, contexts: int) -> None:
        name, count, cost = self.left[0]
        self.bar.update(contexts * cost)
        if contexts < count:
            self.left[0] = (name, count - contexts, cost)
            return
        self.left.pop(0)
        self.bar.set_description(self.left[0][0] if self.left else "intervals")
