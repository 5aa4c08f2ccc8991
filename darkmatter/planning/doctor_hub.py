"""Can the files of the hub be had? One HEAD request for each repository, never a download."""

from collections.abc import Iterable, Sequence

from darkmatter.params.schema import Params
from darkmatter.planning.finding import Finding
from darkmatter.saes.published.pins import references
from darkmatter.storage.artifacts import read_json
from darkmatter.storage.paths import MANIFESTS

CONFIG = "config.json"
TIMEOUT = 10.0
Asked = tuple[str, str, str, bool, str]  # repository, revision, kind, gated, file


def of_params(params: Params) -> list[Asked]:
    """Model, text, and one file of each repository of SAEs that the parameters' manifest lists."""
    asked: list[Asked] = []
    model, dataset = params.model, params.corpus.dataset
    if model.source == "huggingface":
        asked.append((model.repo, model.revision, "model", model.gated, CONFIG))
    if dataset:
        asked.append((dataset.repo, dataset.revision, "dataset", False, dataset.files.format(0)))
    return asked + of_saes(params)


def of_saes(params: Params) -> list[Asked]:
    if params.saes.published is None or params.saes.published.manifest is None:
        return []
    named = {spec.reference for spec in params.sae_specs()}
    result: dict[str, Asked] = {}
    for entry in read_json(MANIFESTS / f"{params.saes.published.manifest}.json")["saes"]:
        if named & {*references(entry)}:
            file = f"{entry['folder']}/{next(iter(entry['sha256']))}"
            result.setdefault(entry["repo"], (entry["repo"], entry["revision"] or "main", "model", False, file))
    return list(result.values())


def hub(asked: Iterable[Asked]) -> list[Finding]:
    return one_of_each([reachable(one) for one in asked])


def one_of_each(findings: Sequence[Finding]) -> list[Finding]:
    """Failures that one command fixes have one cause, such as no network: the first, with the names of the others."""
    result: list[Finding] = []
    for finding in findings:
        alike = [one for one in findings if not one.ok and one.command == finding.command]
        if finding.ok or len(alike) == 1:
            result.append(finding)
        elif finding is alike[0]:
            names = ", ".join(one.check.removeprefix("hub ") for one in alike[1:])
            result.append(Finding(finding.check, False, f"{finding.message} The same of {names}", finding.command))
    return result


def reachable(asked: Asked) -> Finding:
    import huggingface_hub

    from darkmatter.sources.hub import cached
    from darkmatter.sources.hub_access import HubError, Repo, endpoint, offline, online, token_for

    name, revision, kind, gated, file = asked
    repo = Repo(name, revision, kind, gated)
    check = f"hub {name}"
    if (repo.pinned or offline()) and cached(repo, file):
        return Finding(check, True, f"{file} is in the cache")
    url = huggingface_hub.hf_hub_url(name, file, repo_type=kind, revision=revision, endpoint=endpoint())
    try:
        with online(repo, file):
            huggingface_hub.get_hf_file_metadata(url, token=token_for(repo), timeout=TIMEOUT)
    except HubError as error:
        return Finding(check, False, str(error), fix(error, repo))
    return Finding(check, True, f"{revision[:12]} answers with {file}")


def fix(error: Exception, repo) -> str:
    """The command for each kind of refusal; the message says the rest."""
    from darkmatter.sources import hub_access

    commands: Sequence[tuple[type[Exception], str]] = (
        (hub_access.GrantMissingError, f"open {repo.page}  # accept its terms with the account of HF_TOKEN"),
        (
            hub_access.TokenMissingError,
            f"export HF_TOKEN=…  # of an account that has accepted the terms on {repo.page}",
        ),
        (hub_access.OfflineError, "unset HF_HUB_OFFLINE"),
        (hub_access.UnknownRevisionError, f"git ls-remote {repo.page}"),
        (hub_access.UnknownRepoError, f"open {repo.page}  # and correct the name"),
        (hub_access.UnknownFileError, f"open {repo.page}/tree/{repo.revision}  # and correct the file's name"),
        (hub_access.DiskFullError, "hf cache prune"),
    )
    return next((command for kind, command in commands if isinstance(error, kind)), f"curl -I {hub_access.endpoint()}")
