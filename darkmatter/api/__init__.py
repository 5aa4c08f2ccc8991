"""Your own activations and your own SAE: `decompose` in Python, `darkmatter decompose` on the command line.

`darkmatter demo` is `decompose` on a packaged model and an SAE that git holds.
"""
