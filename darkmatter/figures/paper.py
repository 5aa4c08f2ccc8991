"""What the paper prints, as the figures mark it in grey: each value with the section where it stands.

What the ledger holds as well is the same there, which a test checks. Where the paper shows a figure without printing
its values, there is no mark: nothing here is read off an image.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Printed:
    """A range that the paper prints, or one number: then both ends are that.

    Attributes:
        low, high: the ends.
        place: section, where the sentence stands.
    """

    low: float
    high: float
    place: str


def number(value: float, place: str) -> Printed:
    return Printed(value, value, place)


NORM_R2 = Printed(0.70, 0.95, "section 4.1")  # every SAE: "between 70 % and 95 % of the variance in SAE error norm"
NORM_R2_MIDDLE = Printed(0.80, 0.95, "section 4.1")  # over layers: "increases rapidly to a value of about 0.8 to 0.95"
VECTOR_R2 = Printed(0.15, 0.72, "section 4.2")  # "varies widely, between 15 % and 72 %"
ERROR_SAE_FVU = {"linear": number(0.54, "section 5.2"), "nonlinear": number(0.59, "section 5.2")}
INTERPRETABLE_LEAD = number(0.05, "section 5.2")  # linear minus nonlinear: "about an absolute 5 % more interpretable"
PURSUIT_DECREASE = Printed(0.03, 0.05, "section 6.1")  # "decreases the total FVU of Sae(x) by 3 to 5 %"
PARTS_OF_ERROR = Printed(0.06, 0.10, "section 6")  # "only between 6 % and 10 % of the overall SAE error"
PARTS_OF_NONLINEAR = Printed(0.04, 0.14, "section 6")  # "between 4 % and 14 % of nonlinear error"
SELF_OF_NONLINEAR = number(0.5, "section 6")  # Sae(x) "predicts 50 % of the nonlinear error"
SHRINKAGE = number(0.1, "appendix A.1")  # "about a 10 % smaller norm"
COSINE = number(0.5, "appendix A.1")  # "around 0.5"
SCALING_GAIN = number(0.05, "appendix E")  # "up to a 5 % decrease in FVU"
CORRELATIONS = {  # Table 1: noise on x' or Sae(x') → estimate → Pearson correlation
    "x": {"dense": 0.9842, "introduced": 0.1417},
    "sae": {"dense": 0.0988, "introduced": 0.9036},
}
