"""The numbers that claims are judged by: pure functions from results to the components of a rule."""
