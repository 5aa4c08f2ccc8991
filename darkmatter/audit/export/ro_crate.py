"""Draft of a Provenance Run RO-Crate: each receipt as an action, the pipeline as a workflow, every file by its SHA-256.

Profiles of https://www.researchobject.org/workflow-run-crate/ at version 0.5. Paths are relative to the repository.
Data that DVC keeps are named by hash (`ni:` URIs, RFC 6920) and not copied.
"""

import json
import shutil
from pathlib import Path

from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

from darkmatter.audit.export.crate_draft import Draft, quote, single
from darkmatter.audit.export.sources import Sources, base, interval, person
from darkmatter.storage.artifacts import write_text

NAME = "ro-crate-metadata.json"
RUN = "https://w3id.org/ro/wfrun"
WORKFLOW_PROFILE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    f"{RUN}/process/0.5": "Process Run Crate",
    f"{RUN}/workflow/0.5": "Workflow Run Crate",
    f"{RUN}/provenance/0.5": "Provenance Run Crate",
    WORKFLOW_PROFILE: "Workflow RO-Crate",
}
BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
DRAFT = "DRAFT made by a program from the receipts of the repository; nobody has checked it, and it certifies nothing."
PLACE = "Paths are relative to the root of the repository: copied there, this file describes what stands around it."
WORKFLOW = "dvc.yaml"
INPUTS = ("params.yaml", "claims.yaml")
COMPLETED = "http://schema.org/CompletedActionStatus"


def build(sources: Sources) -> ROCrate:
    """The crate, not written yet."""
    draft = Draft(sources)
    runs = list(sources.receipts.values())
    root, metadata = draft.crate.root_dataset, draft.crate.metadata
    metadata["conformsTo"] = [{"@id": metadata.profile}, {"@id": WORKFLOW_PROFILE}]
    root["name"] = f"DRAFT: run of the profile {sources.params['profile']} of {sources.citation['title']}"
    root["description"] = f"{DRAFT} Receipts are of each stage's last run, which may lie apart in time. " + PLACE
    root["datePublished"] = max(interval(receipt)[1] for receipt in runs)
    root["license"] = draft.context(
        f"https://spdx.org/licenses/{quote(sources.citation['license'])}",
        "CreativeWork",
        name=sources.citation["license"],
        description="of the code; texts and weights keep the licences that DATA_LICENSES.md lists",
    )
    root["conformsTo"] = [
        draft.context(identifier, "CreativeWork", name=name, version=identifier.rsplit("/", 1)[1])
        for identifier, name in PROFILES.items()
    ]
    root["citation"] = draft.context(
        sources.paper["url"],
        "ScholarlyArticle",
        name=sources.paper["title"],
        author=[
            draft.context(f"#author-{place}", "Person", name=person(author))
            for place, author in enumerate(sources.paper["authors"], 1)
        ],
    )
    root["mentions"] = actions(draft, add_workflow(draft))
    return draft.crate


def add_workflow(draft: Draft) -> Entity:
    """dvc.yaml, a step for each of its stages and the stage file that the step runs."""
    language = draft.context("#dvc-yaml", "ComputerLanguage", name="DVC pipeline", url="https://doc.dvc.org/")
    kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
    workflow = draft.file(WORKFLOW, kinds, programmingLanguage=language)
    tools, steps = [], []
    for position, (name, stage) in enumerate(draft.sources.stages.items(), 1):
        if not any(base(receipt) == name for receipt in draft.sources.receipts.values()):
            continue
        kinds = ["File", "SoftwareSourceCode"]
        tool = draft.file(f"stages/{name}.py", kinds, description=stage["desc"], programmingLanguage=python(draft))
        step = draft.context(
            f"#step-{quote(name)}", "HowToStep", name=name, description=stage["desc"], position=str(position)
        )
        step["workExample"] = tool
        tools.append(tool)
        steps.append(step)
    workflow["hasPart"], workflow["step"] = tools, steps
    workflow["conformsTo"] = draft.context(
        BIOSCHEMAS, "CreativeWork", name="Bioschemas ComputationalWorkflow", version="1.0-RELEASE"
    )
    workflow["softwareRequirements"] = libraries(draft)
    draft.crate.root_dataset["mainEntity"] = workflow
    return workflow


def python(draft: Draft) -> Entity:
    versions = sorted({receipt["machine"]["python"] for receipt in draft.sources.receipts.values()})
    return draft.context("#python", "ComputerLanguage", name="Python", version=", ".join(versions))


def libraries(draft: Draft) -> list[Entity]:
    pairs = {pair for receipt in draft.sources.receipts.values() for pair in receipt["libraries"].items()}
    return [
        draft.context(
            f"#library-{quote(name)}-{quote(version)}",
            "SoftwareApplication",
            name=name,
            softwareVersion=version,
            url=f"https://pypi.org/project/{quote(name, safe='')}/",
        )
        for name, version in sorted(pairs)
    ]


def actions(draft: Draft, workflow: Entity) -> list[Entity]:
    """One run of the workflow, and of each stage what it read and wrote, with its times and its machine."""
    receipts = list(draft.sources.receipts.values())
    runs, controls, written = [], [], []
    for receipt in receipts:
        name = quote(receipt["stage"])
        run = draft.context(f"#run-{name}", "CreateAction", name=f"Run of {receipt['stage']}")
        run["instrument"] = draft.crate.dereference(f"stages/{base(receipt)}.py")
        run["description"] = run_description(receipt)
        outputs = [draft.artifact(*item) for item in receipt["outputs"].items()]
        run["object"] = single([draft.artifact(*item) for item in receipt["inputs"].items()])
        run["result"] = single(outputs)
        written += [output for output in outputs if not output.id.startswith("ni:")]
        run["startTime"], run["endTime"] = interval(receipt)
        run["actionStatus"] = COMPLETED
        control = draft.context(f"#control-{name}", "ControlAction", name=f"Orchestrate {receipt['stage']}")
        control["instrument"] = draft.crate.dereference(f"#step-{quote(base(receipt))}")
        control["object"] = run
        runs.append(run)
        controls.append(control)
    times = [interval(receipt) for receipt in receipts]
    start, end = min(first for first, _ in times), max(last for _, last in times)
    whole = draft.context("#run", "CreateAction", name="Run of the pipeline", startTime=start, endTime=end)
    whole["instrument"] = workflow
    whole["description"] = "From the first start to the last end of the receipts; stages may have run on other days."
    whole["object"] = [draft.file(path) for path in INPUTS]
    whole["result"] = written
    whole["actionStatus"] = COMPLETED
    engine = draft.context("#dvc", "SoftwareApplication", name="DVC", url="https://dvc.org/")
    organise = draft.context("#organise", "OrganizeAction", name="Run of DVC", startTime=start, endTime=end)
    organise["instrument"], organise["object"], organise["result"] = engine, controls, whole
    return [whole, organise, *runs]


def run_description(receipt: dict) -> str:
    machine, units = receipt["machine"], receipt["units"]
    return (
        f"`{receipt['command']}` at revision {receipt['revision']} on {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['platform']}; {receipt['cpu_seconds']} CPU seconds, {len(units['computed'])} units computed, "
        f"{len(units['reused'])} found stored from an earlier run."
    )


def write(out: Path, sources: Sources, with_files: bool = False) -> list[Path]:
    """The metadata; with `with_files` every file of the repository that it names, too."""
    crate = build(sources)
    path = out / NAME
    # Plain ASCII, for any reader: a lone surrogate in a name has no UTF-8.
    write_text(path, json.dumps(crate.metadata.generate(), indent=2, sort_keys=True) + "\n")
    if with_files:
        for entity in crate.data_entities:
            file = sources.root / entity["name"]
            if "File" in entity.type and not entity.id.startswith("ni:"):
                (out / entity["name"]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, out / entity["name"])
    return [path]
