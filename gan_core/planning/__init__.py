"""What is there and what would be made: the state of every experiment, and a plan with times and memory.

It only looks: at configurations, manifests, checkpoints and leases. Nothing here imports torch.
"""

from gan_core.planning.plan import Plan, PlannedDataset, PlannedExperiment, make_plan
from gan_core.planning.states import ExperimentState, State, Surveyor

__all__ = [
    "ExperimentState",
    "Plan",
    "PlannedDataset",
    "PlannedExperiment",
    "State",
    "Surveyor",
    "make_plan",
]
