"""An asset is one declaration; what all assets have in common is done here.

A module of `assets.graph` declares an asset:

    @declare(partitions="experiments", kinds={"pytorch"}, deps=["trained_gan"], step=samples_step)
    def samples(run: StepRun) -> Manifest:
        \"""The description in the UI.\"""
        from gan_core.sampling import draw_samples
        ...

The body says what makes the artefact, and imports what that needs; it is called only where `step`, which
imports no torch, finds nothing to reuse.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from assets.check_summaries import judged, still_judged, summarised
from assets.describing import PartitionSet, tags_of
from assets.failures import Refused, failure
from assets.interrupts import INTERRUPTS, stoppable
from assets.jobs import JOB_OF_GROUP
from assets.recording import StepConfig, materialized, recorded_metadata
from gan_core import remedies
from gan_core.config import Configs, Dataset, Experiment
from gan_core.disks import telling_of_disks
from gan_core.registry import register
from gan_core.secrets import hidden
from gan_core.steps import Step
from gan_core.store import Manifest, Store
from gan_core.versions import CODE_VERSIONS

WITHOUT_PARTITIONS = "all"  # the partition that the store knows such an artefact by


@dataclass(frozen=True)
class StepRun:
    """One run of an asset's step: what it is about, and how it speaks."""

    declaration: "Declaration"
    partition: str
    store: Store
    configs: Configs
    config: StepConfig
    context: dg.AssetExecutionContext

    @property
    def experiment(self) -> Experiment:
        return self.configs.experiment(self.partition)

    @property
    def dataset(self) -> Dataset:
        """The dataset of the partition, or the one of the partition's experiment or sweep."""
        if self.declaration.partitions == "datasets":
            return self.configs.dataset(self.partition)
        if self.declaration.partitions == "sweeps":
            return self.configs.dataset(
                self.configs.experiment(self.configs.sweep(self.partition).base).dataset
            )
        return self.configs.dataset(self.experiment.dataset)

    @property
    def force(self) -> bool:
        return self.config.force

    @property
    def tags(self) -> dict[str, str]:
        """What the runs of this partition are filtered by."""
        kind = self.declaration.partitions
        return tags_of(self.configs, kind, self.partition) if kind else {}

    def emit(self, message: str) -> None:
        self.context.log.info(hidden(message))

    def input(self, asset: str) -> Manifest:
        """The artefact that this step reads, of the partition that belongs to this one."""
        return self.store.require(asset, self.of(asset).partition)

    def of(self, asset: str) -> "StepRun":
        """The same of an asset that this one depends on."""
        declaration = DECLARATIONS[asset]
        names = {"datasets": lambda: self.dataset.name, "experiments": lambda: self.partition}
        partition = names.get(declaration.partitions, lambda: WITHOUT_PARTITIONS)()
        return replace(self, declaration=declaration, partition=partition)

    def reusable(self) -> Manifest | None:
        """The artefact, where it is there and its inputs are those of today's configuration.

        Where an input is older than that, the body decides: it may refuse it.
        """
        step = self.declaration.step
        if self.force or step is None:
            return None
        found = step(self).reuse(self.store)
        return found if found and all(map(self._is_up_to_date, self.declaration.deps)) else None

    def _is_up_to_date(self, asset: str) -> bool:
        step, run = DECLARATIONS[asset].step, self.of(asset)
        if step is None:
            return True
        found = self.store.current(asset, run.partition)  # None of an input that is not always needed
        return found is not None and step(run).fingerprint == found.fingerprint


@dataclass(frozen=True)
class Declaration:
    """All that is said of one asset; see `declare`."""

    name: str
    description: str
    make: Callable[[StepRun], Manifest]
    partitions: PartitionSet | None
    group: str
    kinds: frozenset[str]
    deps: tuple[str, ...]
    pool: str | None
    automation: dg.AutomationCondition | None
    config: type[StepConfig]
    step: Callable[[StepRun], Step] | None
    metadata: Callable[[StepRun, Manifest], Mapping[str, Any]] | None
    checks: tuple[Callable[[StepRun, Manifest | None], dg.AssetCheckResult], ...]
    blocking: bool
    saved: Callable[[StepRun], str]


def _nothing_saved(run: StepRun) -> str:
    return f"Nothing of {run.declaration.name} was saved"


DECLARATIONS: dict[str, Declaration] = {}


def declare(
    *,
    kinds: set[str],
    partitions: PartitionSet | None = None,
    group: str | None = None,
    deps: Sequence[str] = (),
    pool: str | None = None,
    automation: dg.AutomationCondition | None = None,
    config: type[StepConfig] = StepConfig,
    step: Callable[[StepRun], Step] | None = None,
    metadata: Callable[[StepRun, Manifest], Mapping[str, Any]] | None = None,
    checks: Sequence[Callable[[StepRun, Manifest], dg.AssetCheckResult]] = (),
    blocking: bool = False,
    saved: Callable[[StepRun], str] = _nothing_saved,
    code_version: str | None = None,
) -> Callable[[Callable[[StepRun], Manifest]], Callable[[StepRun], Manifest]]:
    """Declare the asset that the decorated function makes; its docstring is the description in the UI.

    `partitions`: one partition per dataset, experiment or sweep, or none. `group`: by default the
    partitions', else `results`. `deps`: the assets that it reads; those of an experiment's dataset are found.
    `step`: what decides the artefact, without importing torch; without it the body itself sees whether there
    is something to do. `metadata`: what is shown beside the figures; computed where the artefact is new.
    `checks`: looked at within the step, so they must be quick; name and docstring are the check's, and the
    result's description says of one partition what was found; of a step that was `Refused` they are given no
    manifest. `blocking`: what is downstream in the same run waits for those that fail as errors. `saved`:
    what a step that was interrupted has left for the next one, in a few words.
    `code_version`: of an asset that `gan_core.versions` does not list.
    """

    def enter(make: Callable[[StepRun], Manifest]) -> Callable[[StepRun], Manifest]:
        declaration = Declaration(
            name=make.__name__,
            description=_description(make),
            make=make,
            partitions=partitions,
            group=group or partitions or "results",
            kinds=frozenset(kinds),
            deps=tuple(deps),
            pool=pool,
            automation=automation,
            config=config,
            step=step,
            metadata=metadata,
            checks=tuple(checks),
            blocking=blocking,
            saved=saved,
        )
        register(DECLARATIONS, declaration.name)(declaration)
        if declaration.group in JOB_OF_GROUP:
            remedies.jobs[declaration.name] = JOB_OF_GROUP[declaration.group]
        if code_version:
            register(CODE_VERSIONS, declaration.name)(code_version)
        return make

    return enter


def asset_definitions(
    datasets: dg.PartitionsDefinition,
    experiments: dg.PartitionsDefinition,
    sweeps: dg.PartitionsDefinition,
    dataset_of_experiment: dg.PartitionMapping,
) -> list[dg.AssetsDefinition]:
    """Every declared asset as Dagster knows it."""
    of = {"datasets": datasets, "experiments": experiments, "sweeps": sweeps, None: None}

    def dependency(asset: str, declaration: Declaration) -> dg.AssetDep:
        joined = (DECLARATIONS[asset].partitions, declaration.partitions) == ("datasets", "experiments")
        return dg.AssetDep(asset, partition_mapping=dataset_of_experiment if joined else None)

    return [
        _definition(item, of[item.partitions], [dependency(asset, item) for asset in item.deps])
        for item in DECLARATIONS.values()
    ]


def _definition(
    declaration: Declaration, partitions: dg.PartitionsDefinition | None, deps: list[dg.AssetDep]
) -> dg.AssetsDefinition:
    @dg.asset(
        name=declaration.name,
        description=declaration.description,
        group_name=declaration.group,
        kinds=set(declaration.kinds),
        deps=deps,
        pool=declaration.pool,
        partitions_def=partitions,
        automation_condition=declaration.automation,
        code_version=CODE_VERSIONS[declaration.name],
        check_specs=[
            dg.AssetCheckSpec(
                look.__name__,
                asset=declaration.name,
                description=_description(look),
                blocking=declaration.blocking,
            )
            for look in declaration.checks
        ],
    )
    def body(
        context: dg.AssetExecutionContext,
        config: declaration.config,
        store: dg.ResourceParam[Store],
        configs: dg.ResourceParam[Configs],
    ) -> dg.MaterializeResult:
        partition = context.partition_key if context.has_partition_key else WITHOUT_PARTITIONS
        run = StepRun(declaration, partition, store, configs, config, context)
        try:
            return _carry_out(run)
        except INTERRUPTS:
            still_judged(run)
            raise
        except Exception as error:  # Dagster keeps it with all of its causes
            (judged if isinstance(error, Refused) else still_judged)(run)
            shown = failure(context, error)
        raise shown

    return body


def _carry_out(run: StepRun) -> dg.MaterializeResult:
    declaration = run.declaration
    _tag(run)
    run.emit("making it anew" if run.force else "looking whether it is there already")
    with telling_of_disks(run.store.local_places), stoppable(run.context, lambda: declaration.saved(run)):
        manifest = run.reusable()
        if manifest is None:
            if "pytorch" in declaration.kinds:
                run.emit("there is something to do: loading PyTorch")
            manifest = declaration.make(run)
    shown = recorded_metadata(run.context, manifest)
    if shown is None:
        shown = declaration.metadata(run, manifest) if declaration.metadata else {}
    results = [summarised(run, look.__name__, look(run, manifest)) for look in declaration.checks]
    return materialized(run.context, run.store, manifest, shown, results)


def _tag(run: StepRun) -> None:
    """Let the run be found by what its partition is: the jobs tag their runs, *Materialize* does not."""
    instance, run_id = run.context.instance, run.context.run_id
    recorded = instance.get_run_by_id(run_id)
    missing = {key: value for key, value in run.tags.items() if recorded and key not in recorded.tags}
    if missing:
        instance.add_run_tags(run_id, missing)


def _description(function: Callable) -> str:
    """A docstring as one paragraph."""
    return " ".join((inspect.getdoc(function) or "").split())
