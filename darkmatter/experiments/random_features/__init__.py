"""Appendix D: sums of random vectors, some of them masked."""
