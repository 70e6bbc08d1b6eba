"""What Dagster's definitions read of the library is read without PyTorch, which takes seconds to import."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
SCRIPT = """
import sys
from gan_core.config import load_configs
from gan_core.models import ARCHITECTURES, check_image_size
from gan_core.objectives import AUGMENTATIONS, OBJECTIVES, PENALTIES, build_objective, objective_name
import gan_core.steps

configs = load_configs()
for experiment in configs.experiments.values():
    experiment.training_identity(), build_objective(experiment.objective)
assert len(configs.experiments) > 80 and not configs.mistakes
assert all((ARCHITECTURES, AUGMENTATIONS, OBJECTIVES, PENALTIES))
assert "torch" not in sys.modules, "torch was imported"
assert "dagster" not in sys.modules, "dagster was imported"
"""


def test_registries_configurations_and_fingerprints_are_read_without_torch():
    result = subprocess.run([sys.executable, "-c", SCRIPT], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
