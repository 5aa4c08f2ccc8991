"""Section 4.4: a large SAE's error norm from a small one's, token by token (Figs. 4, 5, 12, 16)."""
