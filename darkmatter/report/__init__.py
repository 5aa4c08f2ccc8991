"""The report: one offline HTML file made of the results, the figures and the receipts."""
