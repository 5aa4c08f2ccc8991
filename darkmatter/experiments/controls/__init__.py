"""Regressions and fits whose answer is known."""
