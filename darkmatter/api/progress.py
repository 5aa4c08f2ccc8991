"""A bar over the passes of a decomposition, weighted by what each costs, so that the time left means something."""

from dataclasses import dataclass, field

from tqdm import tqdm

# Seconds of one core per 100 contexts of 823 rows at d_model 576; all but the encoder's grow with d_model² alike.
COSTS = {"moments of x": 2.6, "linear maps": 2.4, "parts of the error": 6.2, "norm probes": 0.5}
ENCODING = 1.2  # × d_sae / d_model
BAR = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}"


@dataclass
class Progress:
    """Ticks of contexts read, in the order of the passes.

    Attributes:
        contexts: number of contexts.
        latents: d_sae / d_model; 0 where nothing is encoded.
        anew: the SAE runs within the two passes over its error instead of once before them.
        shown: on standard error, where that is a terminal.
    """

    contexts: int
    latents: float
    anew: bool
    shown: bool
    left: list[tuple[str, int, float]] = field(init=False)
    bar: tqdm = field(init=False)

    def __post_init__(self) -> None:
        encoding = ENCODING * self.latents
        costs = COSTS | {name: COSTS[name] + 2 * encoding * self.anew for name in ("linear maps", "parts of the error")}
        reads = dict.fromkeys(COSTS, self.contexts) | {
            "linear maps": self.contexts + 1,  # its shift comes from the first context
            "norm probes": 2 * self.contexts,
        }
        self.left = [(name, reads[name], cost) for name, cost in costs.items()]
        if encoding and not self.anew:
            self.left.insert(0, ("encoding", self.contexts, encoding))
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
