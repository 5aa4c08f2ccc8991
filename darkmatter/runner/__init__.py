"""How a stage runs: its frame and receipt, its units of work and where they are kept, what makes either stale."""
