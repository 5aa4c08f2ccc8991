"""Section 5.2: SAEs trained on the parts of another SAE's error."""
