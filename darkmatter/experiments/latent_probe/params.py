"""Options of the stage latent_probe."""

from darkmatter.params.types import Count, Name, Section


class LatentProbe(Section):
    sae: Name
    smoothing: Count
    smoothing_authors: Count
    min_firings: Count
