"""One thread of arithmetic in every test, as in every stage; fixtures of more than one file; the order of the files."""

from pathlib import Path  # noqa: I001 - `stages` before the libraries: they read its variables when they are imported

import stages  # noqa: F401
import pytest
from annotation_checks import check_local_functions_a_few_times
from fake_results import fake_results
from filelock import FileLock
from hub_case import hub  # noqa: F401
from hypothesis import settings
from profiles import profile_params
from workspace import shared_folder

from darkmatter.storage.replacing import replacing_folder

check_local_functions_a_few_times()
settings.register_profile("shared machine", deadline=None)  # an example that waits for a core is not wrong
settings.load_profile("shared machine")

# Files that take longest. The twin stands where what it waits for, the first run of test_end_to_end, is there.
FIRST = (
    "test_end_to_end",
    "test_published_graph",
    "test_audit_derive",
    "test_sharing",
    "test_figures",
    "test_report",
    "test_end_to_end_twin",
    "test_report_readers",
    "test_ray_units",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files before short ones, so that two workers that take file by file end together."""
    place = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(FIRST)))


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every figure of made-up results in the profile smoke, drawn once for all workers: to be read, not changed."""
    from darkmatter.figures import write_figures  # matplotlib: seconds that few files need

    folder, params = shared_folder(tmp_path_factory) / "figures", profile_params("smoke")
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            with replacing_folder(folder) as fresh:
                write_figures(fake_results(params), params, fresh)
    return folder
