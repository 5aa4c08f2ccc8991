"""The dvc.lock of every profile: that of params.yaml stands at the root, where DVC reads it, any other in its reports.

So nothing is kept twice, and a profile that comes back is known to be up to date where it still is.
"""

import shutil

from darkmatter.runner import lock_keeper
from darkmatter.runner.lock_keeper import LOCK
from darkmatter.runner.pipeline_file import PARAMS
from darkmatter.storage import safe_yaml
from darkmatter.storage.paths import reports_of


def change_lock(before: str, after: str) -> None:
    """Store the lock at the root with the reports of the profile that it is of, and put that of another in its place.

    A profile that has none takes over what stands at the root: DVC finds there what both have in common.

    Args:
        before, after: the profile that params.yaml has, and the one that it is to have.
    """
    if before == after:
        return
    if LOCK.is_file() and is_of(before):
        target = reports_of(before).lock
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(LOCK, target)
    if (stored := reports_of(after).lock).is_file():
        stored.replace(LOCK)


def is_of(profile: str) -> bool:
    """Whether every stage of the lock that asks for the profile ran for this one: no other has begun to replace it.

    But for stages of one hookpoint: DVC leaves those in the lock that the profile before had and this one has not. A
    run that was stopped shows in the stages after them.
    """
    if lock_keeper.stages_of(LOCK) is None:
        return False
    stages = safe_yaml.read(LOCK)["stages"]
    ran = [entry.get("params", {}).get(PARAMS.name, {}) for name, entry in stages.items() if "@" not in name]
    return {params["profile"] for params in ran if "profile" in params} == {profile}
