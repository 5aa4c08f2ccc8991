"""The parts of an error whose truth is known, and the files of the experiment, by name. No torch.

x = Σ w_j y_j + bias + Dense(x). Of the features, those are absent that no latent stands for. Then
    SaeError = absent + dense + introduced,
where `absent` = Σ over absent features of (w_j − mean of w_j) y_j, `dense` = Dense(x), and `introduced` is all else:
what the SAE makes of the features that it has, and what its other latents add. The mean of absent features is no error
of theirs, since a bias can code it.
"""

PARTS = ("absent", "dense", "introduced")
OWN, PURSUIT = "own", "pursuit"  # the SAE's own encoder; gradient pursuit on its decoder, with the same L0 on each row
ENCODERS = (OWN, PURSUIT)
SUMS = "sums.npz"  # of one SAE, as `compute.measure` leaves it
STORED = "ground_truth_sums.npz"  # beside the results file: SAE/SUM of each

# What sums of products are kept of: x about its mean, the parts, and what the linear map of x predicts of each part.
VECTORS = ("x", *PARTS, *(f"linear/{part}" for part in PARTS))
