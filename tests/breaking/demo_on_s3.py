"""The whole demo with its store on S3 that fails now and then: `python -m tests.breaking.demo_on_s3`.

Minutes: the demo is made twice, in a local store and on S3 (moto's server) behind a proxy that every few
seconds refuses, cuts or spoils some answers, with a cache of 20 MB. Both must end well, and with the same
bytes. Exit status 1 where they do not, and where no fault was met.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import s3fs

from gan_core.store import Store
from tests.breaking.services import s3_behind_a_proxy
from tests.fault_proxy import ANSWERS, PERMANENT, Fault, FaultProxy
from tests.pipelines.dev_server import REPOSITORY

EXPERIMENTS = ("demo-acgan", "demo-dcgan", "demo-wgan-gp")
COMPARED = {
    "image_shards": ("digits",),
    "reference_statistics": ("digits",),
    "trained_gan": EXPERIMENTS,
    "samples": EXPERIMENTS,
    "evaluation": EXPERIMENTS,
}
PASSES = [*sorted(set(ANSWERS) - PERMANENT), "cut", "reset", "corrupt"]
CACHE_LIMIT = "20MB"


def make_demo(folder: Path, **environment: str) -> None:
    """The command of `make demo`, with a new DAGSTER_HOME in `folder`."""
    places = {"DAGSTER_HOME": str(folder / "home"), "GAN_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "pipelines", "backfill", "demo-*"]
    subprocess.run(command, cwd=REPOSITORY, env={**os.environ, **places, **environment}, check=True)


def fail_now_and_then(proxy: FaultProxy, over: threading.Event) -> None:
    """Every eight seconds, for two: whoever asks then is refused, some times."""
    chance = random.Random(0)
    while not over.wait(6):
        kind = chance.choice(PASSES)
        method = "GET" if kind in ("cut", "corrupt") else "*"
        times = 1 if kind == "corrupt" else chance.randint(1, 4)  # the same file spoilt twice is an error
        proxy.faults = [Fault(kind, method=method, times=times)]
        over.wait(2)
        proxy.faults = []


def differing(one: Store, other: Store) -> list[str]:
    found = []
    for asset, names in COMPARED.items():
        for name in names:
            versions = {store.require(asset, name).version for store in (one, other)}
            found += [f"{asset}/{name} has other bytes"] if len(versions) > 1 else []
            found += other.problems(other.require(asset, name), hashes=True)
    return found


def main(folder: Path) -> int:
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    make_demo(folder / "local", GAN_STORE=str(folder / "store"))
    over = threading.Event()
    with s3_behind_a_proxy() as (proxy, direct):
        failing = threading.Thread(target=fail_now_and_then, args=(proxy, over), daemon=True)
        failing.start()
        store = {"GAN_STORE": "s3://gan/store", "AWS_ENDPOINT_URL": proxy.url}
        make_demo(folder / "remote", GAN_CACHE_LIMIT=CACHE_LIMIT, **store)
        over.set()
        failing.join()
        os.environ["AWS_ENDPOINT_URL"] = direct
        s3fs.S3FileSystem.clear_instance_cache()
        wrong = differing(Store(folder / "store"), Store("s3://gan/store", cache=folder / "compared"))
        print(f"\n{len(proxy.met)} requests met a fault; {len(wrong)} things differ", *wrong, sep="\n  ")
        return 1 if wrong or not proxy.met else 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as place:
        sys.exit(main(Path(place)))
