"""The experiments besides the decomposition itself: for each the computation, then the estimates made from it."""
