"""Ids of contexts: of any kind that tells contexts apart; what runs contexts together is refused."""

import numpy as np
import pytest
import torch

from darkmatter.api.context_ids import rows_of_contexts
from darkmatter.storage.artifacts import ArtifactError

IDS = np.repeat([4, 0, 7], [3, 2, 4])
ROWS = [[0, 1, 2], [3, 4], [5, 6, 7, 8]]
KINDS = {
    "list": IDS.tolist(),
    "unsigned": IDS.astype("u2"),
    "big-endian": IDS.astype(">i8"),
    "negative": IDS - 20,
    "one below zero": IDS - 1,
    "float": IDS.astype("f4"),
    "half": IDS.astype("f2"),
    "bfloat16": torch.from_numpy(IDS).bfloat16(),
    "with gradient": torch.from_numpy(IDS).float().requires_grad_(),
    "int64 tensor": torch.from_numpy(IDS + 2**60),
    "strings": np.array([f"document {number}" for number in IDS]),
    "objects": np.array([f"document {number}" for number in IDS], dtype=object),
    "large": (IDS + 2**24 - 10).astype("f4"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_contexts_come_in_the_order_in_which_they_appear(kind):
    assert [rows.tolist() for rows in rows_of_contexts(KINDS[kind], 9, "x")] == ROWS


def test_rows_of_a_context_need_not_stand_together():
    order = np.random.default_rng(0).permutation(9)
    result = rows_of_contexts((IDS - 1)[order], 9, "x")
    assert sorted(tuple(sorted(order[rows])) for rows in result) == sorted(map(tuple, ROWS))


REFUSED = {
    "short": (IDS[1:], r"context_ids are \[8\], x have 9 rows"),
    "one per place": (IDS[:, None], r"\[9, 1\]"),
    "NaN": (np.where(IDS == 4, np.nan, IDS), "NaN"),
    "fractions": (IDS / 2, "fractions"),
    "half": ((IDS + 2048).astype("f2"), "from 2,048 on, which float16 cannot tell apart"),
    "bfloat16": ((torch.from_numpy(IDS) + 256).bfloat16(), "from 256 on, which torch.bfloat16"),
    "large": ((IDS + 2**24).astype("f4"), "from 16,777,216 on"),
    "None": (np.array([None, *"aaaabbbb"], dtype=object), "None"),
    "several types": (np.array([1, *"aaaabbbb"], dtype=object), "several types"),
    "of no context": (np.array([4, 4, -1, 0, 0, -1, 7, 7, -1]), "-1 in 3 places between contexts.*mask=ids >= 0"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_ids_that_do_not_tell_contexts_apart_are_refused(kind):
    ids, message = REFUSED[kind]
    with pytest.raises(ArtifactError, match=message):
        rows_of_contexts(ids, 9, "x")
