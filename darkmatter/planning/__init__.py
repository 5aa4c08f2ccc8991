"""What a run costs, and whether this machine can do it, before anything runs."""
