"""What a training imports before it begins, and what the definitions import of it."""

import json
import subprocess
import sys
from pathlib import Path

SLOW = {
    "boto3",
    "matplotlib",
    "pandas",
    "scipy",
    "sklearn",
    "tensorflow",
    "torch.utils.tensorboard",
    "torch_fidelity",
    "torchvision",
}


def imported_by(statement: str) -> set[str]:
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    return set(json.loads(ended.stdout.splitlines()[-1]))


def test_a_training_imports_nothing_slow_before_it_begins():
    found = imported_by("import gan_core.training.train")
    assert "torch" in found
    assert found & SLOW == set()


def test_a_task_and_the_store_need_no_torch():
    found = imported_by("import gan_core.training.task, gan_core.store, gan_core.store.lease")
    assert found & (SLOW | {"torch", "numpy", "tensorboard"}) == set()


def test_the_public_names_are_found():
    statement = (
        "from gan_core.training import TrainingSnapshot, TrainingTask, train_gan\nimport gan_core.training"
    )
    assert "gan_core.training.train" in imported_by(statement)
    failed = subprocess.run(
        [sys.executable, "-c", "from gan_core.training import nothing"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert "cannot import name 'nothing'" in failed.stderr
