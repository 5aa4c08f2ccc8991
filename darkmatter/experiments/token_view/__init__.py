"""Tokens of a few contexts with the norms of one SAE's error: the page's token view."""
