"""What rank LinearError has: how much of it a few directions hold, where they lie, and what they do downstream."""
