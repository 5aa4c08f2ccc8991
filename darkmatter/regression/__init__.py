"""Least squares from moments: splits, float64 sums, one factorisation for every target, held-out scores."""
