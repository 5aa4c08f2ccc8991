"""The plan of a workload on a device: each stage, each claim, the whole, and what is assumed."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from darkmatter.claims import Claim, load_claims
from darkmatter.planning import data_costs, experiment_costs, regression_costs
from darkmatter.planning.cost import Cost
from darkmatter.planning.devices import NETWORK, USED, Device, seconds
from darkmatter.planning.disk import BUDGET, Layout, layouts
from darkmatter.planning.graph import behind_claim, parents
from darkmatter.planning.workload import Workload


@dataclass(frozen=True)
class StagePlan:
    """Bytes and seconds."""

    stage: str
    flops: float
    seconds: float
    memory: float
    disk: float
    scratch: float
    download: float


@dataclass(frozen=True)
class ClaimPlan:
    """What one claim needs.

    Attributes:
        covered: whether its scope names this suite's model, or none; an analogue does not need it.
        alone: seconds of all stages behind it.
        shared: of these, the seconds of stages that claims of other experiments need as well.
    """

    claim: str
    experiment: str
    covered: bool
    stages: tuple[str, ...]
    flops: float
    alone: float
    shared: float
    memory: float
    download: float


@dataclass(frozen=True)
class Plan:
    name: str
    model: str
    device: str
    device_memory: float
    workers: int
    saes: int
    rows: int
    stages: tuple[StagePlan, ...]
    claims: tuple[ClaimPlan, ...]
    layouts: tuple[Layout, ...]
    budget: float | None
    runs: bool
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages)

    @property
    def flops(self) -> float:
        return sum(stage.flops for stage in self.stages)

    @property
    def memory(self) -> float:
        return max(stage.memory for stage in self.stages)

    @property
    def download(self) -> float:
        return sum(stage.download for stage in self.stages)

    @property
    def disk(self) -> float:
        """Bytes of the leanest way to run it that the plan knows, with reflinks."""
        return self.layouts[-1].peak

    def to_dict(self) -> dict[str, Any]:
        totals = {name: getattr(self, name) for name in ("seconds", "flops", "memory", "download", "disk")}
        return asdict(self) | {"total": totals}


def stage_cost(name: str) -> Callable[[Workload], Cost]:
    """The function of a stage; a stage without one fails here, and a test asks for all of dvc.yaml."""
    module = next(module for module in (data_costs, regression_costs, experiment_costs) if hasattr(module, name))
    return getattr(module, name)


def make_plan(w: Workload, device: Device, claims: Sequence[Claim] | None = None) -> Plan:
    """
    Raises:
        ArtifactError: dvc.yaml or claims.yaml cannot be read.
    """
    graph = parents()
    costs = {name: stage_cost(name)(w) for name in graph}
    stages = tuple(
        StagePlan(name, c.flops, seconds(c, device), c.memory, c.disk, c.scratch, c.download)
        for name, c in costs.items()
    )
    ledger = load_claims().claims if claims is None else claims
    return Plan(
        w.name,
        w.model.name,
        device.name,
        device.memory,
        device.workers,
        len(w.saes),
        w.rows,
        stages,
        claim_plans(w, stages, ledger, graph),
        layouts(w, costs),
        None if w.runs else BUDGET,
        w.runs,
        (*w.notes, *assumptions(device)),
    )


def claim_plans(
    w: Workload, stages: Sequence[StagePlan], claims: Sequence[Claim], graph: dict[str, set[str]]
) -> tuple[ClaimPlan, ...]:
    by_name = {stage.stage: stage for stage in stages}
    needs = {claim.experiment: behind_claim(claim.experiment, graph) for claim in claims}
    found = []
    for claim in claims:
        chosen = [by_name[name] for name in by_name if name in needs[claim.experiment]]
        others = set().union(*(stages for other, stages in needs.items() if other != claim.experiment))
        found.append(
            ClaimPlan(
                claim.id,
                claim.experiment,
                w.runs or not claim.scope.models or w.name in claim.scope.models,
                tuple(stage.stage for stage in chosen),
                sum(stage.flops for stage in chosen),
                sum(stage.seconds for stage in chosen),
                sum(stage.seconds for stage in chosen if stage.stage in others),
                max(stage.memory for stage in chosen),
                sum(stage.download for stage in chosen),
            )
        )
    return tuple(found)


def assumptions(device: Device) -> tuple[str, ...]:
    network = f"downloads are not in the hours; the connection is taken to bring {NETWORK / 1e6:.0f} MB/s."
    if not device.is_gpu:
        return (f"{device.workers} processes of one thread each.", network)
    used = ", ".join(f"{share:.0%} of {kind}" for kind, share in USED.items())
    return (
        f"the stages of this revision compute on the CPU: hours on {device.name} are what the same arithmetic takes "
        f"there, at {used} (published peaks without sparsity), Python on the host as on the machine of the receipts.",
        network,
    )
