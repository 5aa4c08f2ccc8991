"""The nulls, by name. No torch.

`frozen_decoder`: the activations of the profile; the decoder stays as it was drawn, all else is trained.
`random_model`: activations of the same architecture, each weight drawn anew, on the same tokens.
`gaussian`: rows of a Gaussian with the mean and covariance of the activations.
"""

FROZEN_DECODER, RANDOM_MODEL, GAUSSIAN = "frozen_decoder", "random_model", "gaussian"
NULLS = (FROZEN_DECODER, RANDOM_MODEL, GAUSSIAN)
TRAINED = "trained"  # the SAEs that the nulls are held against
STORED = "nulls_sums.npz"  # beside the results file: NULL/… as the committed sums of a hookpoint; NULL/rank/FIT_SET
