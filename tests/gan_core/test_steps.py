"""Whether an artefact is there is found out without torch."""

import os
import subprocess
import sys

from gan_core.device_leases import DEVICES
from tests.small_project import DATASET, EXPERIMENT, write_config

SCRIPT = """
import sys
from gan_core import steps
from gan_core.config import load_configs
from gan_core.store import Store

configs, store = load_configs(sys.argv[1]), Store(sys.argv[2])
dataset, experiment = configs.datasets["few-digits"], configs.experiments["plain"]

def make(step, details=None, files=()):
    def build(work):
        work.details = details or {}
        for name in files:
            (work.folder / name).write_bytes(b"content")
    return step.produce(store, build)

shards = make(steps.Step("image_shards", dataset.name, {}), {"splits": {"train": {"images": 210}}})
classifier = make(steps.classifier(dataset, shards), files=["classifier.safetensors"])
reference = make(steps.reference_statistics(dataset, shards, classifier))
shape = {"channels": 1, "image_size": 16, "n_classes": 0}
trained = make(steps.trained_gan(experiment, shards, classifier), shape)
samples = make(steps.samples(experiment, dataset, trained, shards))
made = [
    steps.classifier(dataset, shards),
    steps.reference_statistics(dataset, shards, classifier),
    steps.trained_gan(experiment, shards, classifier),
    steps.samples(experiment, dataset, trained, shards),
]
missing = [
    steps.evaluation(dataset, samples, reference, classifier),
    steps.untrained(dataset, trained, reference, classifier, 210),
]
assert all(step.reuse(store).reused for step in made)
assert not any(step.reuse(store) for step in missing)
print(samples.config["count"], reference.config["samples"])
sys.exit("torch" in sys.modules or "pandas" in sys.modules)
"""


def test_every_step_of_an_experiment_is_looked_for_without_torch(tmp_path):
    evaluation = {"evaluation": {}}  # as many samples as there are train images
    for content in ({**DATASET, **evaluation}, EXPERIMENT):
        write_config(tmp_path / "configs", content)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "configs"), str(tmp_path / "store")]
    # Whatever was made took no GPU, which PyTorch would have been asked for.
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, DEVICES: ""})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["210", "210"]
