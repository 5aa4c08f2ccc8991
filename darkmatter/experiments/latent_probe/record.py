"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.latent_probe.costs import cost
from darkmatter.experiments.latent_probe.results import STORED, derive
from darkmatter.experiments.registry import Record

RECORD = Record(
    name="latent_probe",
    cost=cost,
    section="C.2",
    figures=("fig14_latent_probe",),
    committed=(STORED,),
    derive=derive,
    estimands=("probe_against_latents", "probe_against_products"),
    seeded=("probe_against_products",),
)
