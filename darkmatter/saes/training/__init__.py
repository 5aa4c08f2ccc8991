"""Train an SAE on stored activations with sae-lens."""
