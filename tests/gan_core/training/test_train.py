"""The step `trained_gan`: its artefact, exact resume after kills and interrupts, its errors."""

import io
import itertools
import multiprocessing
import os
import random
import signal
import threading
import time
import weakref
from pathlib import Path

import pandas
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from gan_core import device_leases, steps
from gan_core.config import Dataset, Experiment
from gan_core.device_leases import device_states
from gan_core.errors import ConfigError, TrainingError
from gan_core.evaluation.in_training import InTrainingEvaluation
from gan_core.housekeeping.contents import scan
from gan_core.sampling import untrained_generator
from gan_core.store import Manifest, Store
from gan_core.training import engine as engine_module
from gan_core.training import train_gan
from gan_core.training.checkpoints import Checkpoints
from gan_core.training.processes import interruptible
from gan_core.training.processes.interruptible import run_interruptible
from gan_core.training.step import train_step
from gan_core.training.train import ASSET

EVERYTHING = {
    "architecture": {"width": 4, "dropout": 0.2},
    "objective": {
        "name": "wasserstein",
        "gradient_penalty": 10,
        "r1": 0.1,
        "instance_noise": 0.1,
        "differentiable_augmentation": ["color", "translation", "cutout"],
    },
    "conditioning": {"name": "acgan"},
    "n_critic": 2,
    "ema_decay": 0.9,
    "learning_rate_decay": "linear",
    "horizontal_flips": True,
}


def quiet(line: str) -> None:
    pass


def results(store: Store, manifest: Manifest) -> dict:
    """What a run must give again bit by bit: all files but that of times."""
    names = ["generator", "discriminator"]
    files = {name: store.local(manifest, f"{name}.safetensors").read_bytes() for name in names}
    history = pandas.read_parquet(store.local(manifest, "history.parquet"))
    pictures = {name: store.local(manifest, name).read_bytes() for name in ("progress.png",)}
    evaluations = pandas.read_parquet(store.local(manifest, "evaluations.parquet"))
    times = ("images_per_second", "seconds_training", "seconds_evaluating")
    figures = {name: value for name, value in manifest.figures.items() if name not in times}
    return {
        **files,
        **pictures,
        "history": history.to_csv(),
        "evaluations": evaluations.to_csv(),
        "figures": figures,
        "version": manifest.version,
    }


def is_made_anew(new: Manifest, old: Manifest) -> bool:
    """Whether another attempt made it; the result is the same."""
    assert new.version == old.version
    return new.files["generator.safetensors"].path != old.files["generator.safetensors"].path


def checkpoint_folder(store: Store, experiment: Experiment, shards: Manifest) -> Path:
    key = steps.trained_gan(experiment, shards).fingerprint
    return Path(store.folder(ASSET, experiment.name, key)) / "checkpoints"


# --- the artefact -----------------------------------------------------------------------------------------


def test_while_it_trains_what_it_reads_is_known_to_be_in_use(store, make_shards, make_experiment, dataset):
    experiment, shards = make_experiment(), make_shards(store)
    read: set[tuple[str, ...]] = set()

    def look(line: str) -> None:
        read.update(lease.holder.reads for lease in scan(store).leases)

    train_gan(store, experiment, dataset, shards, emit=look)
    assert read == {(shards.place,)}


def test_artefact(store, make_shards, make_experiment, dataset):
    experiment, shards = make_experiment(ema_decay=0.9), make_shards(store)
    lines: list[str] = []
    manifest = train_gan(store, experiment, dataset, shards, emit=lines.append)
    assert sorted(manifest.files) == [
        "discriminator.safetensors",
        "evaluations.parquet",
        "first_epoch.png",
        "generator.safetensors",
        "history.parquet",
        "progress.png",
        "times.parquet",
    ]
    generator = load_file(store.local(manifest, "generator.safetensors"))
    untrained = untrained_generator(manifest, seed=0).state_dict()
    assert generator.keys() == untrained.keys()
    assert not torch.equal(generator["project.weight"], untrained["project.weight"])
    assert manifest.figures["images_seen"] == 800
    trainable = [name for name in untrained if "running" not in name and "batches" not in name]
    assert manifest.figures["parameters_generator"] == sum(untrained[name].numel() for name in trainable)
    assert manifest.details["device"].startswith("cpu")
    expected = {"z_dim": 6, "n_classes": 0, "image_size": 16, "channels": 1, "classes": ["a", "b", "c"]}
    assert expected.items() <= manifest.details.items()
    assert not checkpoint_folder(store, experiment, shards).exists()

    again = train_gan(store, experiment, dataset, shards, emit=lines.append)
    assert again.reused
    assert again.files == manifest.files


def test_history_has_a_row_every_log_every_steps_and_one_at_the_end(
    store, make_shards, make_experiment, dataset
):
    manifest = train_gan(store, make_experiment(), dataset, make_shards(store), emit=quiet)
    history = pandas.read_parquet(store.local(manifest, "history.parquet"))
    assert history["step"].tolist() == [*range(7, 100, 7), 100]
    assert (history["images_seen"] == history["step"] * 8).all()
    assert history.notna().all(axis=None)
    assert {"d_loss", "g_loss", "d_real_score", "d_fake_score"} <= set(history.columns)
    assert "gradient_penalty" not in history.columns
    assert not {"seconds", "images_per_second"} & set(history.columns)
    times = pandas.read_parquet(store.local(manifest, "times.parquet"))
    assert times["images_seen"].equals(history["images_seen"])
    assert times["seconds"].is_monotonic_increasing
    assert (times["images_per_second"] > 0).all()


def test_history_is_complete_where_the_generator_is_updated_less_often(
    store, make_shards, make_experiment, dataset
):
    experiment = make_experiment(**EVERYTHING | {"n_critic": 9})
    manifest = train_gan(store, experiment, dataset, make_shards(store), emit=quiet)
    history = pandas.read_parquet(store.local(manifest, "history.parquet"))
    assert history["step"].tolist() == [*range(9, 100, 9), 100]
    assert history.notna().all(axis=None)
    assert {"gradient_penalty", "d_class_loss", "g_class_loss"} <= set(history.columns)


def test_progress_picture_has_the_first_and_the_last_samples(store, make_shards, make_experiment, dataset):
    seen = []
    experiment = make_experiment(conditioning={"name": "acgan"}, sample_every=300)
    manifest = train_gan(
        store, experiment, dataset, make_shards(store), emit=quiet, observe=seen.append, observe_interval=0
    )
    strip = Image.open(io.BytesIO(store.local(manifest, "progress.png").read_bytes()))
    rows, columns, scale = 5, 15, 3  # 15 latents: 5 of each of 3 classes
    described = manifest.details["progress"]
    assert (described["images_seen"], described["columns"]) == ([0, 56, 304, 600, 800], columns)
    assert strip.size == ((columns * 18 - 2) * scale + 96, (rows * 18 - 2) * scale)
    left, top = described["left"], 4 * described["pitch"]
    last = strip.crop((left, top, left + described["side"], top + described["side"])).resize(
        (16, 16), Image.Resampling.NEAREST
    )
    assert list(last.tobytes()) == seen[-1].samples[0].flatten().tolist()


@pytest.mark.parametrize("images", [160, 800])
def test_samples_are_drawn_as_often_as_the_length_of_the_run_asks(
    store, make_shards, make_experiment, dataset, images
):
    experiment = make_experiment(length={"images": images}, sample_every=None)
    manifest = train_gan(store, experiment, dataset, make_shards(store), emit=quiet)
    moments = manifest.details["progress"]["images_seen"]
    assert (moments[0], moments[-1]) == (0, images) and 56 in moments  # the first epoch
    assert 8 <= len(moments) <= 20
    apart = [after - before for before, after in itertools.pairwise(moments)]
    assert max(apart) <= images / 16 + 8


def test_length_in_epochs_ends_with_a_whole_batch(store, make_shards, make_experiment, dataset):
    experiment = make_experiment(length={"epochs": 1.5})
    manifest = train_gan(store, experiment, dataset, make_shards(store), emit=quiet)
    assert manifest.figures["images_seen"] == 80  # 75 images are 9.4 batches of 8


def test_observe_gets_snapshots_in_the_calling_thread(store, make_shards, make_experiment, dataset):
    seen, threads = [], set()

    def observe(snapshot):
        seen.append(snapshot)
        threads.add(threading.current_thread())

    experiment = make_experiment(conditioning={"name": "acgan"})
    train_gan(store, experiment, dataset, make_shards(store), emit=quiet, observe=observe, observe_interval=0)
    assert threads == {threading.current_thread()}
    assert [snapshot.images_seen for snapshot in seen] == list(range(8, 801, 8))
    middle = seen[50]
    assert middle.total_images == 800
    assert {"d_loss", "g_loss", "d_class_loss", "g_class_loss"} <= middle.losses.keys()
    assert middle.samples.shape == (15, 1, 16, 16)
    assert middle.samples.dtype == torch.uint8
    assert middle.images_per_second > 0
    assert middle.seconds_left > 0
    assert seen[-1].seconds_left == 0
    assert len(middle.history) == 51 // 7


def test_it_has_a_gpu_of_its_own_while_it_trains(
    store, make_shards, make_experiment, dataset, tmp_path, monkeypatch
):
    monkeypatch.setenv(device_leases.FOLDER, str(tmp_path / "leases"))
    monkeypatch.setenv(device_leases.DEVICES, "0,1")  # simulated
    experiment, shards, had = make_experiment(), make_shards(store), []

    def observe(snapshot):
        had.append([state.what for state in device_states()])

    train_gan(store, experiment, dataset, shards, emit=quiet, observe=observe, observe_interval=0)
    assert had and all(users == [f"trained_gan of `{experiment.name}`", None] for users in had)
    assert [state.what for state in device_states()] == [None, None]
    had.clear()
    options = {"observe": observe, "observe_interval": 0, "force": True}
    train_gan(store, experiment, dataset, shards, emit=quiet, device="cpu", **options)
    assert had and all(users == [None, None] for users in had)


def test_observing_changes_nothing(store, tmp_path, make_shards, make_experiment, dataset):
    experiment = make_experiment(**EVERYTHING)
    other = Store(tmp_path / "other")
    plain = train_gan(store, experiment, dataset, make_shards(store), emit=quiet)
    observed = train_gan(
        other, experiment, dataset, make_shards(other), emit=quiet, observe=quiet, observe_interval=0
    )
    assert results(store, plain) == results(other, observed)


def test_observations_are_throttled(store, make_shards, make_experiment, dataset):
    seen = []
    train_gan(
        store,
        make_experiment(),
        dataset,
        make_shards(store),
        emit=quiet,
        observe=seen.append,
        observe_interval=60,
    )
    assert seen == []


def test_force_begins_again(store, make_shards, make_experiment, dataset):
    experiment, shards = make_experiment(), make_shards(store)
    with pytest.raises(Interrupted):
        train_gan(
            store, experiment, dataset, shards, emit=quiet, observe=interrupt_after(3), observe_interval=0
        )
    assert list(checkpoint_folder(store, experiment, shards).glob("*.pt"))
    lines: list[str] = []
    forced = train_gan(store, experiment, dataset, shards, force=True, emit=lines.append)
    assert not [line for line in lines if "going on" in line]
    first = results(store, forced)
    again = train_gan(store, experiment, dataset, shards, force=True, emit=lines.append)
    assert not again.reused
    assert results(store, again) == first


@pytest.fixture
def stopped(store, make_shards, make_experiment, dataset):
    """A training that was published and then begun again with force, which was interrupted.

    What a run of it takes and gives: (`run(**options)` -> manifest and lines, the old manifest, its results).
    """
    experiment, shards = make_experiment(), make_shards(store)

    def run(**options):
        lines: list[str] = []
        return train_gan(store, experiment, dataset, shards, emit=lines.append, **options), lines

    old, _ = run()
    with pytest.raises(Interrupted):
        run(force=True, observe=interrupt_after(45), observe_interval=0)
    return run, old, results(store, old)


@pytest.mark.parametrize("force", [False, True])
def test_a_forced_training_that_was_stopped_goes_on_with_force_or_without(store, stopped, force):
    run, old, expected = stopped
    assert store.current(ASSET, "small") == old
    assert store.problems(old, hashes=True) == []
    new, lines = run(force=force)
    assert "was begun again with force and not finished" in lines[0]
    assert [line for line in lines if "going on from" in line]
    assert not new.reused
    assert is_made_anew(new, old)
    assert results(store, new) == expected
    folder = f"{ASSET}/small/{new.fingerprint}"
    files, *manifests = store.list_names(folder)
    assert files.startswith("files-")
    assert manifests == ["manifest-copy.json", "manifest.json"]
    again, _ = run()
    assert again.reused


def test_a_forced_training_begins_at_the_beginning_where_its_checkpoints_were_removed(store, stopped):
    run, old, expected = stopped
    store.remove(f"{ASSET}/small/{old.fingerprint}/checkpoints")
    new, lines = run()
    assert not [line for line in lines if "going on from" in line]
    assert not new.reused
    assert results(store, new) == expected


def test_a_forced_training_that_was_killed_right_after_it_was_published_is_done(store, stopped, monkeypatch):
    run, old, _ = stopped

    def killed(*_):
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_remove_leftovers", killed)
        with pytest.raises(Interrupted):
            run()
    folder = f"{ASSET}/small/{old.fingerprint}"
    assert {"checkpoints", "forced.json"} < set(store.list_names(folder))
    new, _ = run()
    assert new.reused
    assert is_made_anew(new, old)
    assert {"checkpoints", "forced.json"}.isdisjoint(store.list_names(folder))


def test_the_speed_is_that_of_steps_and_evaluations_have_a_time_of_their_own(
    store, make_shards, make_experiment, dataset, monkeypatch
):
    """Also where the run was interrupted: what its processes took together."""
    measure = InTrainingEvaluation.measure

    def slowly(self, sampler):
        time.sleep(0.2)
        return measure(self, sampler)

    monkeypatch.setattr(InTrainingEvaluation, "measure", slowly)
    experiment, shards = make_experiment(evaluate_every=100), make_shards(store)
    with pytest.raises(Interrupted):
        train_gan(
            store, experiment, dataset, shards, emit=quiet, observe=interrupt_after(60), observe_interval=0
        )
    figures = train_gan(store, experiment, dataset, shards, emit=quiet).figures
    # The untrained generator's, that of the first epoch and those on the way; the last one follows no step.
    evaluations = 800 // 100 + 1
    assert evaluations * 0.2 <= figures["seconds_evaluating"] < figures["seconds_training"]
    seconds = figures["seconds_training"] - figures["seconds_evaluating"]
    assert figures["images_per_second"] == pytest.approx(800 / seconds, rel=0.01)


# --- interrupts and kills ---------------------------------------------------------------------------------


class Interrupted(BaseException):
    """Like Dagster's: not an Exception, raised in the main thread by a signal handler."""


def interrupt_after(snapshots: int):
    seen = []

    def observe(snapshot):
        seen.append(snapshot)
        if len(seen) == snapshots:
            raise Interrupted

    return observe


def test_interrupt_saves_the_last_whole_step(store, make_shards, make_experiment, dataset):
    experiment, shards = make_experiment(checkpoint_every=10**9), make_shards(store)
    with pytest.raises(Interrupted):
        train_gan(
            store, experiment, dataset, shards, emit=quiet, observe=interrupt_after(5), observe_interval=0
        )
    (saved,) = checkpoint_folder(store, experiment, shards).glob("*.pt")
    images_seen = int(saved.stem.removeprefix("checkpoint-"))
    assert images_seen >= 40
    assert images_seen % 8 == 0
    state = torch.load(saved, weights_only=True)["state"]
    assert state["images_seen"] == images_seen
    # Adam counts its steps apart from the engine: all of them are of the same moment.
    for optimizer in ("generator", "discriminator"):
        assert {int(values["step"]) for values in state["optimizers"][optimizer]["state"].values()} == {
            images_seen // 8
        }


def in_finalizer(frame) -> bool:
    while frame:
        if frame.f_code.co_name == "__del__" or frame.f_code.co_filename == weakref.__file__:
            return True
        frame = frame.f_back
    return False


def test_interrupts_at_random_moments_change_nothing(store, tmp_path, make_shards, make_experiment, dataset):
    experiment = make_experiment(**EVERYTHING, checkpoint_every=10**9)
    other = Store(tmp_path / "other")
    whole = train_gan(other, experiment, dataset, make_shards(other), emit=quiet)
    shards, numbers = make_shards(store), random.Random(0)

    def handler(signum, frame):
        if in_finalizer(frame):  # where Python prints an exception and goes on
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            return
        raise Interrupted

    before = signal.signal(signal.SIGALRM, handler)
    lines: list[str] = []
    interrupts, manifest = 0, None
    try:
        while manifest is None:
            pause = numbers.uniform(0.05, 0.3) if interrupts < 12 else 0
            signal.setitimer(signal.ITIMER_REAL, pause)
            try:
                manifest = train_gan(store, experiment, dataset, shards, emit=lines.append)
            except Interrupted:
                interrupts += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        assert signal.getsignal(signal.SIGALRM) is handler
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupts >= 2
    assert [line for line in lines if "going on from" in line]
    assert results(store, manifest) == results(other, whole)


def test_a_step_that_outlasts_a_stop_is_given_up(
    store, tmp_path, make_shards, make_experiment, dataset, monkeypatch
):
    experiment, shards = make_experiment(), make_shards(store)
    other = Store(tmp_path / "other")
    whole = train_gan(other, experiment, dataset, make_shards(other), emit=quiet)
    going_on, threads, lines = threading.Event(), [], []

    def step(state, *arguments):
        train_step(state, *arguments)
        if state.step == 43:  # its work is half done: the networks have changed
            threads.append(threading.current_thread())
            os.kill(os.getpid(), signal.SIGINT)
            going_on.wait(60)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        patch.setattr(engine_module, "train_step", step)
        patch.setattr(engine_module, "SLOW_STEP_SECONDS", 0.0)
        patch.setattr(interruptible, "PATIENCE_SECONDS", 0.2)
        try:
            with pytest.raises(KeyboardInterrupt):
                train_gan(store, experiment, dataset, shards, emit=lines.append)
        finally:
            signal.signal(signal.SIGINT, before)
    folder = checkpoint_folder(store, experiment, shards)
    assert newest(folder) == 42 * experiment.batch_size
    assert [line for line in lines if line.startswith("stopping: ")]
    going_on.set()
    while threads[0].is_alive():  # and what is left of it saves nothing any more
        time.sleep(0.05)
    assert newest(folder) == 42 * experiment.batch_size
    manifest = train_gan(store, experiment, dataset, shards, emit=quiet)
    assert results(store, manifest) == results(other, whole)


def newest(folder: Path) -> int:
    return max(int(path.stem.split("-")[1]) for path in folder.glob("*.pt"))


def test_a_second_interrupt_does_not_cut_the_stopping_short():
    ended = []

    def work(stop, post):
        post(lambda: (_ for _ in ()).throw(Interrupted()))
        stop.wait(10)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        ended.append(True)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted):
            run_interruptible(work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended


def test_an_error_while_stopping_is_noted():
    def work(stop, post):
        post(lambda: (_ for _ in ()).throw(Interrupted()))
        stop.wait(10)
        raise OSError("disk full")

    with pytest.raises(Interrupted) as caught:
        run_interruptible(work)
    assert "disk full" in caught.value.__notes__[0]


def test_an_error_of_the_work_is_raised():
    with pytest.raises(ZeroDivisionError):
        run_interruptible(lambda stop, post: 1 / 0)


# Two windows of ten images fit, fifty do not.
STREAMED = {"shuffle_window": 10}
STREAMED_LIMIT = 10_000


def _train_in_a_process(
    root: str,
    experiment: Experiment,
    dataset: Dataset,
    shards: Manifest,
    limit: int | None,
    force: bool = False,
) -> None:
    lines = Path(root) / "lines.txt"

    def emit(line: str) -> None:
        with open(lines, "a") as file:
            file.write(line + "\n")

    train_gan(Store(root), experiment, dataset, shards, emit=emit, memory_limit_bytes=limit, force=force)


@pytest.fixture(scope="module")
def processes():
    """Processes that find torch imported already, so that each starts at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["gan_core.training.train", "torch._dynamo", "pandas", "pyarrow.parquet", "pytest"]
    )
    return context


SPECTRAL = {"architecture": {"width": 4, "spectral_norm": True}, "objective": {"name": "hinge"}}
CONDITIONAL = {"conditioning": {"name": "acgan"}, "n_critic": 3, "output": {"activation": "sigmoid"}}


@pytest.mark.parametrize(
    ("values", "limit", "kills"),
    [
        (EVERYTHING, None, 3),
        pytest.param(EVERYTHING, None, 10, marks=pytest.mark.slow),
        pytest.param(EVERYTHING | STREAMED, STREAMED_LIMIT, 10, marks=pytest.mark.slow),
        pytest.param(SPECTRAL, None, 2, marks=pytest.mark.slow),
        pytest.param(CONDITIONAL, None, 2, marks=pytest.mark.slow),
    ],
    ids=["resident", "resident-ten-times", "streamed-ten-times", "spectral-norm", "acgan"],
)
def test_a_killed_run_ends_with_the_same_bytes(
    tmp_path, processes, make_shards, make_experiment, dataset, values, limit, kills
):
    experiment = make_experiment(**values, length={"images": 4000})
    numbers = random.Random(1)

    def start(store: Store, limit: int | None):
        shards = make_shards(store, count=5)
        process = processes.Process(
            target=_train_in_a_process, args=(store.root, experiment, dataset, shards, limit)
        )
        process.start()
        return process, checkpoint_folder(store, experiment, shards)

    untouched, killed = Store(tmp_path / "untouched"), Store(tmp_path / "killed")
    process, _ = start(untouched, None)  # always resident: a streamed run ends with the same bytes
    process.join(300)
    assert process.exitcode == 0

    for _ in range(kills):
        process, folder = start(killed, limit)
        known = set(folder.glob("*.json")) if folder.exists() else set()
        while process.is_alive() and not set(folder.glob("*.json")) - known:
            time.sleep(0.002)
        time.sleep(numbers.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        process.join(300)
        assert process.exitcode == -signal.SIGKILL
    process, folder = start(killed, limit)
    process.join(300)
    assert process.exitcode == 0

    lines = (tmp_path / "killed" / "lines.txt").read_text().splitlines()
    resumed = [line for line in lines if "going on" in line]
    assert len(resumed) == kills
    assert len(set(resumed)) == kills
    assert len([line for line in lines if "streamed in windows" in line]) == (kills + 1 if limit else 0)
    assert not folder.exists()
    expected, found = (results(store, store.require(ASSET, "small")) for store in (untouched, killed))
    assert found["history"] == expected["history"]
    assert found == expected


def test_a_forced_run_that_is_killed_and_interrupted_ends_with_the_same_bytes(
    tmp_path, processes, make_shards, make_experiment, dataset
):
    experiment = make_experiment(length={"images": 1600}, ema_decay=0.9)
    untouched, killed = Store(tmp_path / "untouched"), Store(tmp_path / "killed")

    def start(store: Store, *, force: bool):
        arguments = (store.root, experiment, dataset, make_shards(store, count=5), None, force)
        process = processes.Process(target=_train_in_a_process, args=arguments)
        process.start()
        return process

    def finish(store: Store, *, force: bool) -> Manifest:
        process = start(store, force=force)
        process.join(300)
        assert process.exitcode == 0
        return store.require(ASSET, "small")

    finish(untouched, force=False)
    expected = results(untouched, finish(untouched, force=True))

    old = finish(killed, force=False)
    folder = checkpoint_folder(killed, experiment, make_shards(killed, count=5))
    stops = [(True, signal.SIGKILL), (False, signal.SIGINT), (True, signal.SIGKILL), (False, signal.SIGKILL)]
    for force, number in stops:
        process = start(killed, force=force)
        known = set(folder.glob("*.json"))
        while process.is_alive() and not set(folder.glob("*.json")) - known:
            time.sleep(0.002)
        os.kill(process.pid, number)
        process.join(300)
        assert process.exitcode == (1 if number == signal.SIGINT else -signal.SIGKILL)
        assert killed.current(ASSET, "small") == old
        assert killed.problems(old, hashes=True) == []
    new = finish(killed, force=False)
    lines = (tmp_path / "killed" / "lines.txt").read_text().splitlines()
    assert len({line for line in lines if "going on from" in line}) == len(stops)
    assert is_made_anew(new, old)
    assert results(killed, new) == expected
    assert {"checkpoints", "forced.json"}.isdisjoint(path.name for path in folder.parent.iterdir())
    assert len(list(folder.parent.glob("files-*"))) == 1


def test_strays_among_the_checkpoints_change_nothing(store, tmp_path, make_shards, make_experiment, dataset):
    experiment, shards = make_experiment(), make_shards(store)
    with pytest.raises(Interrupted):
        train_gan(
            store, experiment, dataset, shards, emit=quiet, observe=interrupt_after(45), observe_interval=0
        )
    folder = checkpoint_folder(store, experiment, shards)
    (folder / "checkpoint-999999999999.pt").mkdir()
    (folder / "checkpoint-999999999999.json").write_text('{"size": 1, "sha256": "", "best": true}')
    (folder / "checkpoint-888888888888.pt").write_bytes(os.urandom(1000))
    (folder / "notes.txt").write_text("hello")
    manifest = train_gan(store, experiment, dataset, shards, emit=quiet)
    other = Store(tmp_path / "other")
    whole = train_gan(other, experiment, dataset, make_shards(other), emit=quiet)
    assert results(store, manifest) == results(other, whole)


@pytest.mark.parametrize("change", [dict.clear, lambda state: state["generator"].popitem(), "optimizer"])
def test_a_checkpoint_that_does_not_fit_is_one_clear_error(
    store, make_shards, make_experiment, dataset, change
):
    experiment, shards = make_experiment(), make_shards(store)
    with pytest.raises(Interrupted):
        train_gan(
            store, experiment, dataset, shards, emit=quiet, observe=interrupt_after(45), observe_interval=0
        )
    key = steps.trained_gan(experiment, shards).fingerprint
    checkpoints = Checkpoints(store, ASSET, "small", key, quiet)
    state = checkpoints.load_newest()
    seen = state["images_seen"]
    if change == "optimizer":
        state["optimizers"] = {"generator": {}, "discriminator": {}}
    else:
        change(state)
    checkpoints.save({**state, "images_seen": seen})
    with pytest.raises(TrainingError) as caught:
        train_gan(store, experiment, dataset, shards, emit=quiet)
    message = str(caught.value)
    assert f"checkpoint-{seen:012d}.pt does not fit this experiment's networks and optimisers (" in message
    assert message.endswith("remove it, or run `python -m gan_core train small --force`")
    assert "\n" not in message


def test_a_truncated_checkpoint_costs_only_itself(store, tmp_path, make_shards, make_experiment, dataset):
    experiment, shards = make_experiment(), make_shards(store)
    with pytest.raises(Interrupted):
        train_gan(
            store, experiment, dataset, shards, emit=quiet, observe=interrupt_after(45), observe_interval=0
        )
    before, newest = sorted(checkpoint_folder(store, experiment, shards).glob("*.pt"))
    newest.write_bytes(newest.read_bytes()[:-1000])
    lines: list[str] = []
    manifest = train_gan(store, experiment, dataset, shards, emit=lines.append)
    assert (
        f"{newest} is incomplete or damaged" in lines[1] or f"{newest} is incomplete or damaged" in lines[0]
    )
    assert [line for line in lines if f"going on from {before}" in line]
    other = Store(tmp_path / "other")
    whole = train_gan(other, experiment, dataset, make_shards(other), emit=quiet)
    assert results(store, manifest) == results(other, whole)


def test_resume_on_a_remote_store(tmp_path, make_shards, make_experiment, dataset):
    remote, local = Store(f"memory://{tmp_path.name}", cache=tmp_path / "cache"), Store(tmp_path / "local")
    experiment, shards = make_experiment(), make_shards(remote)
    with pytest.raises(Interrupted):
        train_gan(
            remote, experiment, dataset, shards, emit=quiet, observe=interrupt_after(45), observe_interval=0
        )
    lines: list[str] = []
    manifest = train_gan(remote, experiment, dataset, shards, emit=lines.append)
    assert [line for line in lines if "going on from" in line]
    whole = train_gan(local, experiment, dataset, make_shards(local), emit=quiet)
    assert results(remote, manifest) == results(local, whole)
    assert not [path for path in remote.fs.find(remote.root) if "checkpoint" in path]


# --- errors -----------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_ends_the_run_and_is_named(store, make_shards, make_experiment, dataset):
    experiment = make_experiment(
        optimizers={"generator": {"learning_rate": 1e30}, "discriminator": {"learning_rate": 1e30}}
    )
    manifest = train_gan(store, experiment, dataset, make_shards(store), emit=quiet)
    assert manifest.figures["verdict"] == "not finite (stopped)"
    (verdict,) = manifest.details["verdicts"]
    assert "`d_loss`" in verdict["text"]
    assert "by 56 images seen" in verdict["text"]
    assert any("optimizers.discriminator.learning_rate" in key for key in verdict["keys"])
    # No checkpoint was due yet: all that is good is what it began with.
    assert manifest.details["published"] == {"images_seen": 0, "which": "untrained"}
    files = [
        load_file(store.local(manifest, f"{name}.safetensors")) for name in ("generator", "discriminator")
    ]
    assert all(value.isfinite().all() for weights in files for value in weights.values())
    assert len(pandas.read_parquet(store.local(manifest, "history.parquet"))) == 0


def test_a_state_that_is_not_finite_is_never_saved(store, make_shards, make_experiment, dataset, monkeypatch):
    from gan_core.training import engine

    experiment, shards = make_experiment(log_every=10**6, evaluate_every=10**6), make_shards(store)
    step = engine.train_step

    def poisoned(state, *arguments):
        step(state, *arguments)
        if state.images_seen == 200:
            with torch.no_grad():
                state.generator.project.weight[0, 0] = float("nan")

    monkeypatch.setattr(engine, "train_step", poisoned)
    lines: list[str] = []
    manifest = train_gan(store, experiment, dataset, shards, emit=lines.append)
    assert manifest.details["published"] == {"images_seen": 160, "which": "checkpoint"}
    assert any("by 240 images seen" in line for line in lines)
    weights = load_file(store.local(manifest, "generator.safetensors"))
    assert all(value.isfinite().all() for value in weights.values())


def test_what_the_fid_decides_needs_a_classifier(store, make_shards, make_experiment, dataset):
    for values in ({"publish": "best"}, {"stop_on": ["stagnation"]}, {"stop_on": ["got_worse"]}):
        with pytest.raises(ConfigError, match="give the dataset's classifier too"):
            train_gan(store, make_experiment(**values), dataset, make_shards(store), emit=quiet)


def test_labels_are_needed_for_a_class(store, make_shards, make_experiment, dataset):
    experiment = make_experiment(conditioning={"name": "acgan"})
    with pytest.raises(ConfigError, match="needs labels, but the shards of `tiny` have none"):
        train_gan(store, experiment, dataset, make_shards(store, classes=[]), emit=quiet)


def test_other_datasets_are_refused(store, make_shards, make_experiment, dataset):
    experiment = make_experiment(dataset="other")
    with pytest.raises(ConfigError, match="is for dataset `other`"):
        train_gan(store, experiment, dataset, make_shards(store), emit=quiet)


def test_a_run_without_a_step_of_the_generator_is_refused(store, make_shards, make_experiment, dataset):
    experiment = make_experiment(n_critic=5, length={"images": 32})
    with pytest.raises(ConfigError, match="too few for a single step of the generator"):
        train_gan(store, experiment, dataset, make_shards(store), emit=quiet)


def test_an_average_too_slow_for_the_run_is_named(store, make_shards, make_experiment, dataset):
    for decay, warned in ((0.999, True), (0.9, False)):
        lines: list[str] = []
        train_gan(store, make_experiment(ema_decay=decay), dataset, make_shards(store), emit=lines.append)
        found = [line for line in lines if "ema_decay 0.999 is slow for the 100 steps of G" in line]
        assert bool(found) == warned
        assert not warned or "90% of the published average" in found[0]
