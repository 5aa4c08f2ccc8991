"""What work costs: amounts of it, the sizes they follow from, and the pieces that many stages are made of."""
