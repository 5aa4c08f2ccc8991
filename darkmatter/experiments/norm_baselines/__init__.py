"""Appendix A.3: what else predicts the norm of the error (Fig. 13)."""
