"""One published SAE on the real model, on one GPU, in minutes: for those who have what its authors lack."""
