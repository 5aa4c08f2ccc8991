"""Appendices B.2 and C.3: noise planted on a reconstruction taken as ground truth (Fig. 15, Table 1)."""
