"""Section 6.2: what the SAEs of earlier components explain of an SAE's error (Eq. 16, Fig. 9b)."""
