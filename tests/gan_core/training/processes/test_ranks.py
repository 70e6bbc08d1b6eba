"""Two real processes that train together, through gloo on the CPU, against one with the whole batch."""

import multiprocessing
import os
import signal
import socket
from pathlib import Path

import pandas
import pytest
import torch
import torch.distributed as distributed
from safetensors.torch import load_file
from torch import nn

from gan_core.config import Experiment
from gan_core.errors import ConfigError
from gan_core.models.layers import MinibatchDiscrimination, MinibatchStddev
from gan_core.store import Manifest, Store
from gan_core.training import train_gan
from gan_core.training.noise import Noise
from gan_core.training.processes.joining import joined
from gan_core.training.processes.ranks import BatchNormOverRanks, Ranks

PROCESSES = 2
CPU = torch.device("cpu")
BATCH = 8
SHORT = {"length": {"images": 40 * BATCH}, "log_every": 1, "evaluate_every": 100, "sample_every": 100}
EXPERIMENTS = {
    "dcgan": {"architecture": {"width": 4}, "ema_decay": 0.9},
    "everything": {
        "architecture": {"width": 4},
        "objective": {"name": "wasserstein", "gradient_penalty": 10, "instance_noise": 0.1},
        "conditioning": {"name": "acgan"},
        "ema_decay": 0.9,
        "horizontal_flips": True,
        "n_critic": 2,
    },
    "mixing": {
        "architecture": {
            "width": 4,
            "spectral_norm": True,
            "dropout": 0.3,
            "minibatch_discrimination": 3,
            "minibatch_stddev": True,
        },
        "objective": {"name": "hinge", "r1": 1.0, "differentiable_augmentation": ["color", "translation"]},
        "conditioning": {"name": "projection"},
    },
    "relativistic": {
        "architecture": {"width": 4},
        "objective": {
            "name": "relativistic",
            "r1": 1.0,
            "r2": 1.0,
            "lecam": 0.3,
            "gradients_at": "original",
            "differentiable_augmentation": ["translation"],
            "augmentation_probability": 0.5,
            "augmentation_target": 0.6,
        },
        "ema_half_life": 100,
        "schedules": {"r1": {"to": 0.1}, "ema_half_life": {"to": 10}},
        # D's last bias has no gradient here, and Adam would make steps of what rounding leaves of it.
        "optimizers": {
            name: {"name": "sgd", "learning_rate": 0.01} for name in ("generator", "discriminator")
        },
    },
}


# --- what each of the processes does ----------------------------------------------------------------------


def be_rank(rank: int, port: int, work, folder: Path, *arguments) -> None:
    """`work(ranks, *arguments)` as one of the processes that torchrun would start; its result in a file."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(PROCESSES),
        "LOCAL_WORLD_SIZE": str(PROCESSES),
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
    }
    try:
        with joined("cpu") as ranks:
            result = work(ranks, *arguments)
    except (Exception, KeyboardInterrupt) as error:
        result = f"{type(error).__name__}: {error}"
    torch.save(result, folder / f"rank-{rank}.pt")


def measure_layers(ranks: Ranks, inputs: dict) -> dict:
    """Outputs and gradients of the layers that see the whole batch, given this rank's rows."""
    results = {name: through_layer(name, x, ranks) for name, x in inputs.items()}
    results["of_first"] = ranks.of_first({"from": ranks.rank})
    results["any"] = [ranks.any(ranks.rank == 1), ranks.any(False)]
    results["mask"] = Noise(3, CPU, ranks).mask(ranks.share(inputs["stddev"]), 0.5)
    return results


def through_layer(name: str, x: torch.Tensor, ranks: Ranks) -> dict:
    """The loss is a mean over the rows of some function of the outputs, as in training."""
    layer = layers()[name]
    if isinstance(layer, MinibatchDiscrimination | MinibatchStddev):
        layer.gather, layer.share = ranks.gather, ranks.share
    layer = ranks.synchronise_norms(layer)
    mine = ranks.share(x).clone().requires_grad_()
    y = layer(mine)
    weights = ranks.share(torch.linspace(-1, 1, len(x))).view(-1, *(1,) * (y.dim() - 1))
    (y.square() * weights).mean().backward()
    gradients = [parameter.grad for parameter in layer.parameters()]
    ranks.average(gradients)
    return {
        "output": y.detach(),
        # Of the mean over the ranks, as the weights' are.
        "input_gradient": mine.grad / ranks.size,
        "gradients": gradients,
        "buffers": list(layer.buffers()),
        "eval": layer.eval()(mine).detach(),
    }


def layers() -> dict[str, nn.Module]:
    torch.manual_seed(1)
    norms = {"norm2d": nn.BatchNorm2d(3), "norm1d": nn.BatchNorm1d(5)}
    for norm in norms.values():
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    norms["norm2d_without_scale"] = nn.BatchNorm2d(3, affine=False)
    return {
        **norms,
        "discrimination": MinibatchDiscrimination(5, 4),
        "stddev": MinibatchStddev(),
        "stddev_of_groups": MinibatchStddev(4),
    }


def train_all(
    ranks: Ranks,
    store: str,
    experiments: list[Experiment],
    dataset,
    shards: Manifest,
    limit: int | None = None,
) -> dict:
    """Each experiment trained, on data of at most `limit` bytes in memory; what a rank's state is, beside the
    artefact, in the end."""
    ends = {}
    for experiment in experiments:
        spied = Spy(ranks.rank, ranks.size)
        train_gan(
            Store(store), experiment, dataset, shards, device="cpu", ranks=spied, memory_limit_bytes=limit
        )
        ends[experiment.name] = spied.weights()
    return ends


class Spy(Ranks):
    """Ranks that remember which networks they were given."""

    def __init__(self, rank: int, size: int):
        super().__init__(rank, size)
        self.networks: list[nn.Module] = []

    def synchronise_norms(self, network: nn.Module) -> nn.Module:
        self.networks.append(super().synchronise_norms(network))
        return self.networks[-1]

    def weights(self) -> list[torch.Tensor]:
        return [value for network in self.networks for value in network.state_dict().values()]


def die_while_training(ranks: Ranks, store: str, experiment: Experiment, dataset, shards: Manifest) -> None:
    """Rank 1 is killed in the middle of a step, of which each averages two gradients and the meter twice."""

    class Dying(Ranks):
        updates = 0

        def average(self, tensors: list[torch.Tensor]) -> None:
            self.updates += 1
            if self.updates == 30 and self.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            super().average(tensors)

    train_gan(Store(store), experiment, dataset, shards, device="cpu", ranks=Dying(ranks.rank, ranks.size))


def interrupt_one(ranks: Ranks, store: str, experiment: Experiment, dataset, shards: Manifest) -> None:
    """Rank 1 alone gets the signal."""

    class Interrupted(Ranks):
        steps = 0

        def any(self, flag: bool) -> bool:
            self.steps += 1
            if self.steps == 20 and self.rank == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().any(flag)

    train_gan(
        Store(store), experiment, dataset, shards, device="cpu", ranks=Interrupted(ranks.rank, ranks.size)
    )


# --- starting them ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Run `work` in two processes at once; what each returned, an error as text, None of a killed one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["gan_core.training.train", "torch._dynamo", "pandas", "pyarrow.parquet", "pytest"]
    )

    def run(work, *arguments) -> list:
        folder = tmp_path_factory.mktemp("ranks")
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        processes = [
            context.Process(target=be_rank, args=(rank, port, work, folder, *arguments))
            for rank in range(PROCESSES)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
            assert process.exitcode is not None, "still running"
        files = [folder / f"rank-{rank}.pt" for rank in range(PROCESSES)]
        return [torch.load(file, weights_only=False) if file.exists() else None for file in files]

    return run


# --- layers -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(together):
    """The layers' inputs, what one process makes of the whole of them, and what two do."""
    numbers = torch.Generator().manual_seed(0)
    maps = torch.randn(BATCH, 3, 4, 4, generator=numbers).to(memory_format=torch.channels_last)
    rows = 3 + torch.randn(BATCH, 5, generator=numbers)
    inputs = {
        "norm2d": maps,
        "norm2d_without_scale": maps,
        "norm1d": rows,
        "discrimination": rows,
        "stddev": maps,
        "stddev_of_groups": maps,
    }
    return measure_layers(Ranks(), inputs), together(measure_layers, inputs)


@pytest.mark.parametrize("name", layers())
def test_a_layer_over_two_processes_is_the_one_of_the_whole_batch(measured, name):
    whole, parts = measured[0][name], [part[name] for part in measured[1]]
    for result in ("output", "input_gradient", "eval"):
        torch.testing.assert_close(torch.cat([part[result] for part in parts]), whole[result])
    for part in parts:
        torch.testing.assert_close(part["gradients"], whole["gradients"])
        torch.testing.assert_close(part["buffers"], whole["buffers"])


def test_masks_are_the_shares_of_one(measured):
    whole, parts = measured[0]["mask"], [part["mask"] for part in measured[1]]
    assert 0.3 < whole.mean() < 0.7
    assert torch.equal(torch.cat(parts), whole)


def test_control_values_agree(measured):
    for part in measured[1]:
        assert part["of_first"] == {"from": 0}
        assert part["any"] == [True, False]


# --- training ---------------------------------------------------------------------------------------------


def history(store: Store, manifest: Manifest) -> pandas.DataFrame:
    return pandas.read_parquet(store.local(manifest, "history.parquet"))


def generator(store: Store, manifest: Manifest) -> dict[str, torch.Tensor]:
    return load_file(store.local(manifest, "generator.safetensors"))


def assert_same_curve(found: pandas.DataFrame, expected: pandas.DataFrame) -> None:
    """To float tolerance. An image whose score is at the boundary may count as real in one of the two."""
    assert len(expected) >= 20
    scores = [name for name in expected if "accuracy" in name]
    pandas.testing.assert_frame_equal(
        found.drop(columns=scores), expected.drop(columns=scores), check_dtype=False, rtol=1e-4, atol=1e-5
    )
    pandas.testing.assert_frame_equal(found[scores], expected[scores], atol=1.01 / BATCH)


@pytest.fixture
def compare(store, tmp_path, dataset, make_shards, together):
    """Train in two processes, with `limit` bytes for the data, and in one that has it in memory."""

    def trained(experiments: list[Experiment], *, count: int = 1, limit: int | None = None) -> None:
        alone = Store(tmp_path / "alone")
        shards, shards_alone = make_shards(store, count=count), make_shards(alone, count=count)
        first, second = together(train_all, store.root, experiments, dataset, shards, limit)
        for experiment in experiments:
            expected = train_gan(alone, experiment, dataset, shards_alone, device="cpu")
            found = store.require("trained_gan", experiment.name)
            assert found.fingerprint == expected.fingerprint
            assert (expected.details["processes"], found.details["processes"]) == (1, PROCESSES)
            assert ("streamed" in expected.details["data"], "streamed" in found.details["data"]) == (
                False,
                bool(limit),
            )
            assert found.figures["images_seen"] == expected.figures["images_seen"] == 40 * BATCH
            assert_same_curve(history(store, found), history(alone, expected))
            torch.testing.assert_close(
                generator(store, found), generator(alone, expected), rtol=1e-4, atol=1e-5
            )
            # Batch norms' statistics and spectral norms' vectors are among them.
            for mine, other in zip(first[experiment.name], second[experiment.name], strict=True):
                assert torch.equal(mine, other)

    return trained


def test_two_processes_train_as_one_with_the_whole_batch(make_experiment, compare):
    compare([make_experiment(name=name, **SHORT, **values) for name, values in EXPERIMENTS.items()])


def test_two_processes_that_stream_train_as_one_with_all_in_memory(make_experiment, compare):
    values = {**SHORT, **EXPERIMENTS["everything"], "shuffle_window": 10}
    # Two windows of ten images fit, fifty do not.
    compare([make_experiment(name="streamed", **values)], count=5, limit=10_000)


def test_a_killed_process_ends_the_others_and_one_process_goes_on(
    store, tmp_path, dataset, make_experiment, make_shards, together
):
    experiment = make_experiment(**SHORT, **{**EXPERIMENTS["dcgan"], "checkpoint_every": BATCH})
    alone = Store(tmp_path / "alone")
    shards, shards_alone = make_shards(store), make_shards(alone)
    first, second = together(die_while_training, store.root, experiment, dataset, shards)
    assert second is None
    assert first.startswith("LostRankError: another process of this training has ended")
    assert store.current("trained_gan", experiment.name) is None

    lines: list[str] = []
    found = train_gan(store, experiment, dataset, shards, device="cpu", emit=lines.append)
    (line,) = [line for line in lines if line.startswith("going on from")]
    assert line.endswith(f"{7 * BATCH} images seen")  # in the update of G of the eighth step
    expected = train_gan(alone, experiment, dataset, shards_alone, device="cpu")
    assert_same_curve(history(store, found), history(alone, expected))


def test_all_stop_and_save_where_one_is_interrupted(store, dataset, make_experiment, make_shards, together):
    experiment, shards = make_experiment(checkpoint_every=10**9), make_shards(store)
    ends = together(interrupt_one, store.root, experiment, dataset, shards)
    assert [end.split(":")[0] for end in ends] == ["KeyboardInterrupt"] * PROCESSES
    assert store.current("trained_gan", experiment.name) is None
    (checkpoint,) = Path(store.root).rglob("checkpoint-*.pt")
    assert 19 * BATCH <= int(checkpoint.stem.split("-")[1]) <= 21 * BATCH


def test_a_batch_that_cannot_be_shared_is_refused(store, dataset, make_experiment, make_shards):
    with pytest.raises(ConfigError, match="batch_size 9 cannot be shared evenly by 2 processes"):
        train_gan(store, make_experiment(batch_size=9), dataset, make_shards(store), ranks=Ranks(0, 2))


@pytest.fixture
def group_of_one():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_statistics_over_processes_are_in_32_bits(group_of_one):
    # In bfloat16 the mean of so many values beside 100 would be off by more than their spread.
    images = (100 + torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))).bfloat16()
    ours, exact = BatchNormOverRanks(3), nn.BatchNorm2d(3, dtype=torch.float64)
    found, expected = ours(images), exact(images.double())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, rtol=2**-8, atol=1e-2)
    torch.testing.assert_close(ours.running_mean.double(), exact.running_mean, rtol=1e-6, atol=0)
    torch.testing.assert_close(ours.running_var.double(), exact.running_var, rtol=1e-4, atol=0)


def test_one_process_needs_no_group():
    with joined() as ranks:
        assert (ranks.rank, ranks.size) == (0, 1)
