"""Section 5.3: what each part of the error does to the model's cross-entropy (Fig. 8)."""
