"""Configuration files of a project whose steps take seconds: 300 digits, networks 8 wide."""

import json
from pathlib import Path

DATASET = {
    "name": "few-digits",
    "source": {"kind": "digits"},
    "image_size": 16,
    "channels": 1,
    "classes": [str(digit) for digit in range(10)],
    "test_fraction": 0.3,
    "limit": 300,
    "evaluation": {"samples": 200},
}
EXPERIMENT = {
    "name": "plain",
    "dataset": "few-digits",
    "architecture": {"width": 8},
    "latent": {"size": 16},
    "batch_size": 50,
    "length": {"images": 1000},
    "log_every": 5,
}
SWEEP = {
    "name": "search",
    "base": "plain",
    "space": {
        "optimizers.generator.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "architecture.width": {"choices": [4, 8]},
    },
    "trials": 3,
}
QUESTION = {
    "name": "classes",
    "question": "Do classes help?",
    "experiments": ["plain", "conditional"],
    "figures": ["fid", "failed", "seconds_training"],
}


def write_config(folder: Path, content: dict) -> None:
    """Write a dataset's, an experiment's, a sweep's or a question's file into the configuration folder
    `folder`."""
    kinds = {"source": "datasets", "question": "questions", "space": "sweeps"}
    kind = next((kind for key, kind in kinds.items() if key in content), "experiments")
    (folder / kind).mkdir(parents=True, exist_ok=True)
    (folder / kind / f"{content['name']}.yaml").write_text(json.dumps(content))
