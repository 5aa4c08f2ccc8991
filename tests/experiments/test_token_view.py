import numpy as np
import pytest
from profiles import profile_params

from darkmatter.experiments.token_view.compute import COLUMNS, CONTEXTS, TOKENS, shown_sae, token_view

FIRST = 7


def view(contexts: int, positions: int) -> tuple[list[dict], dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    table = {column: rng.gamma(2.0, size=(contexts, positions)).astype(np.float32) for column in COLUMNS.values()}
    ids = rng.integers(0, 1000, (contexts, FIRST + positions + 1)).astype(np.int32)
    documents = [{"document": f"words/{i}", "domain": f"domain {i}", "source": "words"} for i in range(contexts)]
    return token_view(table, ids, FIRST, documents), table, ids


def test_each_token_has_its_own_norms() -> None:
    result, table, ids = view(5, 230)
    assert [item["context"] for item in result] == list(range(CONTEXTS))
    for item in result:
        context = item["context"]
        assert item["domain"] == f"domain {context}" and item["first_position"] == FIRST
        assert len(item["token_ids"]) == TOKENS
        for column, token in enumerate(item["token_ids"]):
            assert token == ids[context, FIRST + column]
            assert all(item[name][column] == table[source][context, column] for name, source in COLUMNS.items())


def test_few_and_short_contexts_are_shown_whole() -> None:
    result, _, _ = view(2, 30)
    assert len(result) == 2 and {len(item["error_sq"]) for item in result} == {30}


@pytest.mark.parametrize(("profile", "name"), [("smollm2", "widths-2048-k32-s0"), ("smoke", "widths-128-k4-s0")])
def test_the_middle_width_is_shown(profile: str, name: str) -> None:
    assert shown_sae(profile_params(profile)).name == name
