"""Section 6.1: gradient pursuit on a frozen decoder (Fig. 9a)."""
