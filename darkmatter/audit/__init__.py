"""What a reader needs to check the results without trusting those who made them. Nothing in here imports torch."""
