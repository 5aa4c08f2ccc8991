"""Options of the stage latent_probe."""

from darkmatter.params.types import Count, OneSaeAndOthers


class LatentProbe(OneSaeAndOthers):
    """`further_saes` are for the noise of the training seed, which those say that differ in it alone."""

    smoothing: Count
    smoothing_authors: Count
    min_firings: Count
