"""e = x − Sae(x) as a linear function of x and the rest (sections 4 and 5.1): passes, sums, results."""
