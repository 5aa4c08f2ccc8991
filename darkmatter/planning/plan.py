"""The plan of a workload on a device: each stage, each claim, the whole, and what is assumed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from darkmatter.costs.cost import Cost
from darkmatter.costs.workload import Workload
from darkmatter.experiments.registry import records
from darkmatter.ledger.claims import Claim, load_claims
from darkmatter.planning import data_costs, other_costs
from darkmatter.planning.devices import NETWORK, USED, Device, seconds
from darkmatter.planning.disk import BUDGET, Layout, layouts
from darkmatter.planning.graph import behind_claim, parents

RUNTIME = 1e9  # bytes of an accelerator that its libraries take; an assumption


@dataclass(frozen=True)
class StagePlan:
    """Bytes and seconds.

    Attributes:
        memory: of one process, on the host; `device_memory`: on the accelerator, where there is one.
        on_device: whether that accelerator computes part of it, in one process.
        read: published weights that are mapped from the hub's cache.
    """

    stage: str
    flops: float
    seconds: float
    memory: float
    device_memory: float
    on_device: bool
    disk: float
    scratch: float
    download: float
    read: float


@dataclass(frozen=True)
class ClaimPlan:
    """What one claim needs.

    Attributes:
        covered: whether its scope names this model, or none; elsewhere the outcome is that of an analogue.
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
    is_gpu: bool
    capacity: float
    host_memory: float
    workers: int
    saes: int
    rows: int
    stages: tuple[StagePlan, ...]
    claims: tuple[ClaimPlan, ...]
    layouts: tuple[Layout, ...]
    budget: float | None
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
    def device_memory(self) -> float:
        return max(stage.device_memory for stage in self.stages)

    @property
    def download(self) -> float:
        return sum(stage.download for stage in self.stages)

    @property
    def disk(self) -> float:
        """Bytes of the leanest way to run it, with reflinks."""
        return self.layouts[-1].peak

    def to_dict(self) -> dict[str, Any]:
        names = ("seconds", "flops", "memory", "device_memory", "download", "disk")
        totals = {name: getattr(self, name) for name in names}
        return asdict(self) | {"total": totals}


def stage_cost(name: str) -> Callable[[Workload], Cost]:
    """The function of a stage: an experiment's is in its record. A test asks for all of dvc.yaml."""
    if name in records():
        return records()[name].cost
    return (data_costs.COSTS | other_costs.COSTS)[name]


def make_plan(w: Workload, device: Device, claims: Sequence[Claim] | None = None) -> Plan:
    """What each stage and each claim of a workload costs on a device.

    Raises:
        ArtifactError: dvc.yaml or claims.yaml cannot be read.
    """
    graph = parents()
    costs = {name: stage_cost(name)(w) for name in graph}
    stages = tuple(stage_plan(name, cost, device) for name, cost in costs.items())
    ledger = load_claims().claims if claims is None else claims
    return Plan(
        w.name,
        w.model.name,
        device.name,
        device.is_gpu,
        device.memory,
        (device.host or device).memory,
        (device.host or device).workers,
        len(w.saes),
        w.rows,
        stages,
        claim_plans(w, stages, ledger, graph),
        layouts(w, costs),
        BUDGET if any(sae.published for sae in w.saes) else None,
        assumptions(costs, device),
    )


def stage_plan(name: str, cost: Cost, device: Device) -> StagePlan:
    return StagePlan(
        name,
        cost.flops,
        seconds(cost, device),
        cost.host_memory(device.is_gpu),
        cost.device + RUNTIME if device.is_gpu and cost.device else 0.0,
        any(step.on_device for step in cost.steps),
        cost.disk,
        cost.scratch,
        cost.download,
        cost.read,
    )


def claim_plans(
    w: Workload, stages: Sequence[StagePlan], claims: Sequence[Claim], graph: dict[str, set[str]]
) -> tuple[ClaimPlan, ...]:
    by_name = {stage.stage: stage for stage in stages}
    needs = {claim.experiment: behind_claim(claim.experiment, graph) for claim in claims}
    results = []
    for claim in claims:
        chosen = [by_name[name] for name in by_name if name in needs[claim.experiment]]
        others = set().union(*(stages for other, stages in needs.items() if other != claim.experiment))
        results.append(
            ClaimPlan(
                claim.id,
                claim.experiment,
                not claim.scope.models or w.params.model.label in claim.scope.models,
                tuple(stage.stage for stage in chosen),
                sum(stage.flops for stage in chosen),
                sum(stage.seconds for stage in chosen),
                sum(stage.seconds for stage in chosen if stage.stage in others),
                max(stage.memory for stage in chosen),
                sum(stage.download for stage in chosen),
            )
        )
    return tuple(results)


def assumptions(costs: Mapping[str, Cost], device: Device) -> tuple[str, ...]:
    notes = [
        f"downloads are not in the hours; the connection is taken to bring {NETWORK / 1e6:.0f} MB/s.",
        *(cost.note for cost in costs.values() if cost.note),
    ]
    if not device.is_gpu:
        return (
            f"{device.workers} processes of one thread each; {device.arithmetic} products in passes and training.",
            *notes,
        )
    on_device = [name for name, cost in costs.items() if any(step.on_device for step in cost.steps)]
    used = ", ".join(f"{share:.0%} of {kind}" for kind, share in USED.items())
    return (
        f"{device.name} at {used} (published peaks without sparsity) for the stages that the parameter `device` is "
        f"about, in one process: {', '.join(on_device)}. No GPU run has been made by us.",
        f"everything else on {device.host.workers} cores of its host, each as fast as the machine of the receipts.",
        *notes,
    )
