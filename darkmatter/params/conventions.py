"""The two conventions on which paper and published code differ, and which results a claim is judged by."""

CONVENTIONS = ("paper", "authors")
PRIMARY = ("token", "paper")  # split and convention
ALL_ROWS = "all-rows"  # a variant: scored on rows with tokens that no fit has met, too
