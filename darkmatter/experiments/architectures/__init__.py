"""The training classes of sae-lens, and TopK with a linear skip, held against each other at one L0."""
