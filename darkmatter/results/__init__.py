"""What figures, report and claims read: reports/PROFILE/results/*.json, Fig. 1's breakdown, the headline."""
