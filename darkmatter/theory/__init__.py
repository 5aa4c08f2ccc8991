"""Appendix C.1: lemmas by computer algebra, and samples to check them."""
