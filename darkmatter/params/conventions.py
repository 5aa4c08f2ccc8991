"""The two conventions on which paper and published code differ, and which results a claim is judged by."""

CONVENTIONS = ("paper", "authors")
PRIMARY = ("token", "paper")  # split and convention
ALL_ROWS = "all-rows"  # a variant: scored on rows with tokens that no fit has met, too


def pooled_rows(split: str, convention: str) -> str:
    """The row set of FVU and FVU_nonlinear: the published code takes all rows, the fitted ones among them."""
    return split if convention == "paper" else "all"
