"""The claims of the paper, the rules that judge them, and the verdicts. In: results. Out: claims.json."""
