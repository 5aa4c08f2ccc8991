"""How far the output of an SAE may lie from what its codes say."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from darkmatter.saes.codes import DECODE_TOLERANCE, check_on_sample
from darkmatter.saes.decoder import Decoder
from darkmatter.storage.artifacts import ArtifactError

D_MODEL = 8
DECODER = Decoder(torch.cat([torch.eye(D_MODEL), -torch.eye(D_MODEL)]), torch.zeros(D_MODEL))
ROWS = np.random.default_rng(0).standard_normal((100, D_MODEL)).astype(np.float32)


def sae_off_by(gap: float) -> SimpleNamespace:
    """An SAE that rebuilds each row from its positive and its negative part, and is off by a share of its norm."""
    return SimpleNamespace(
        cfg=SimpleNamespace(d_sae=2 * D_MODEL, architecture=lambda: "standard"),
        encode=lambda x: torch.cat([x.relu(), (-x).relu()], 1),
        decode=lambda acts: (acts @ DECODER.W_dec) * (1 + gap),
    )


def test_output_within_the_tolerance_of_the_codes_is_taken():
    check_on_sample(sae_off_by(0.5 * DECODE_TOLERANCE), DECODER, ROWS, D_MODEL, "an SAE")


@pytest.mark.parametrize(("gap", "said"), [(2.0 * DECODE_TOLERANCE, r"2\.0e-04"), (0.01, r"9\.9e-03")])
def test_output_beyond_it_is_refused(gap, said):
    with pytest.raises(ArtifactError, match=rf"^an SAE: .* differs from sae\.decode by {said} of its norm"):
        check_on_sample(sae_off_by(gap), DECODER, ROWS, D_MODEL, "an SAE")
