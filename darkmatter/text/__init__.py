"""Packages and data sets of text → documents → contexts of tokens."""
