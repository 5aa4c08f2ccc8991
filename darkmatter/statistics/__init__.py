"""From per-context sums to R² and FVU with intervals. No torch: numbers can be derived without a model."""
