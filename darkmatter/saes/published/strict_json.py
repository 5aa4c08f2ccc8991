"""JSON of other people: no name twice, of which Python would take the last, and no deeper than Python reads."""

import json
from pathlib import Path
from typing import Any

from darkmatter.saes.published.matrices import refuse_twice
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.text_files import text_of


def strict_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ArtifactError: missing, not JSON, a name twice in one object, or too deep.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist")
    try:
        return json.loads(text_of(path), object_pairs_hook=refuse_twice)
    except ValueError as error:
        raise ArtifactError(f"{path} is not valid JSON ({error}). Correct it, or download or save it again.") from None
    except RecursionError:
        raise ArtifactError(
            f"{path} holds lists or objects in each other, deeper than is read. Save it again."
        ) from None
