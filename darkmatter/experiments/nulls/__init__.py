"""SAEs that learned nothing: a frozen decoder, a model with random weights, a Gaussian in place of the activations."""
