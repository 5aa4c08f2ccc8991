"""Appendix C.1: lemmas derived again, each next to a Monte Carlo."""
