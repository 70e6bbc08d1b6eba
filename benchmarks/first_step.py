"""From the start of `gan-core train` to the first step of a training, in seconds and in seconds of processor.

    GAN_STORE=… python -m benchmarks.first_step cifar10-two-cores-dcgan [--rounds 3] [--cold]

Starts the command on a store that has the dataset's shards and classifier, and ends it after its first step,
so that nothing is made. The command has the store's cache to itself: empty in the first round, afterwards
with what the round before has left, or with `--cold` always empty. Writes a line for each thing that was
done by then: when it was, and what it took of the processor, decoders included.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import psutil


def run_to_first_step(experiment: str) -> None:
    """The command, in this process, which tells where it is and ends itself."""
    born = psutil.Process().create_time()
    say(born, "interpreter")
    from gan_core.cli import main

    say(born, "command line")
    import torch

    say(born, "torch")
    import gan_core.training.train as train
    from gan_core.data import feed
    from gan_core.training.engine import Engine

    say(born, "engine imported")
    told(feed, "load_resident", lambda: say(born, "images"))
    told(train.Training, "_evaluation", lambda: say(born, "evaluation prepared"))
    told(Engine, "begin", lambda: say(born, "untrained generator evaluated"))

    def end() -> None:
        say(born, "first step")
        os._exit(0)

    told(Engine, "_advance", end)
    torch.manual_seed(0)
    main(["train", experiment])


def told(owner, name: str, tell: Callable[[], None]) -> None:
    """Call `tell` after each call of this function."""
    function = getattr(owner, name)

    def wrapped(*arguments, **options):
        result = function(*arguments, **options)
        tell()
        return result

    setattr(owner, name, wrapped)


def say(born: float, what: str) -> None:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    processor = sum(each.ru_utime + each.ru_stime for each in used)
    print(f"| {what} | {time.time() - born:.2f} | {processor:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("experiment")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        run_to_first_step(given.experiment)
        return
    with tempfile.TemporaryDirectory() as cache:
        for number in range(given.rounds):
            print(f"\nround {number + 1}\n\n| done | seconds | of processor |\n|---|---|---|", flush=True)
            folder = f"{cache}/{number if given.cold else 0}"
            subprocess.run(
                [sys.executable, "-m", "benchmarks.first_step", given.experiment, "--here"],
                env=os.environ | {"GAN_CACHE": folder},
                check=True,
            )


if __name__ == "__main__":
    main()
