"""The two conventions on which paper and published code differ, and which results a claim is judged by."""

CONVENTIONS = ("paper", "authors")
PRIMARY = ("token", "paper")  # split and convention
