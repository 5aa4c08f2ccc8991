"""What figures, report and claims read: reports/results/*.json, Fig. 1's breakdown, the headline."""
