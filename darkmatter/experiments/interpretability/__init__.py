"""Section 5.2: how well explanations of latents predict where they fire (Fig. 7)."""
