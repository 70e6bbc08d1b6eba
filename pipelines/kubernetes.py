"""What a run asks of Kubernetes: as many GPUs as its experiment says by a tag, `gpu` or `gpu-4`.

The run has a tag that Dagster's `K8sRunLauncher` reads; other launchers do not look at it.
"""

import json
import re
from collections.abc import Iterable

TAG = "dagster-k8s/config"
GPUS = re.compile(r"gpu(?:-(\d+))?")


def kubernetes_tags(words: Iterable[str]) -> dict[str, str]:
    """The tags of a run whose experiment has these `tags` in its file; none where no word is about GPUs.

    Of several words the largest number counts. With more than one GPU the training runs in as many processes.
    """
    numbers = [int(found[1] or 1) for word in words if (found := GPUS.fullmatch(word))]
    if not numbers:
        return {}
    gpus = max(numbers)
    container: dict = {"resources": {"limits": {"nvidia.com/gpu": gpus}}}
    if gpus > 1:
        container["env"] = [{"name": "GAN_PROCESSES", "value": str(gpus)}]
    return {TAG: json.dumps({"container_config": container})}
