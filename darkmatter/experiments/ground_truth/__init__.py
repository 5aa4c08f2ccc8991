"""SAEs on synthetic activations of known features: which part of the error is absent features, Dense, Introduced?"""
