"""Your own activations and your own SAE: `decompose` in Python, `darkmatter decompose` on the command line."""
