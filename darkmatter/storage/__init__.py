"""Files: artifacts written whole or not at all, where each stands, text, YAML with line numbers, packed sums."""
