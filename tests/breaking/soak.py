"""Operation where everything breaks: `python -m tests.breaking.soak [--minutes 20] [--every 8] [--seed 0]`.

A schedule trains three small experiments again every minute, as another does every night; others measure
and clear away. Dagster's state is in PostgreSQL, the store on S3. Every few seconds one thing is broken: a
step's process, a run's, the daemon, the code server, the web server or the database is killed, the disk of
cache and DAGSTER_HOME is full (as root: a small tmpfs), or S3 refuses, cuts or falls silent. Then nothing is
broken any more, what is queued comes to its end, and it is looked at whether

- every run has ended, and each that failed says why;
- each one that was to be retried was;
- no artefact that was there is gone or damaged, at any time, and all have the bytes of undisturbed ones;
- `python -m gan_core store verify` finds nothing, and a backfill of all ends well;
- each failure was told, and none twice but for those whose delivery was disturbed;
- neither logs, store nor database hold a secret.

Exit status 1 if one of these does not hold. It needs PostgreSQL's server programs.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import psutil
import s3fs
import sqlalchemy

from gan_core.errors import GanError
from gan_core.store import Store
from pipelines.reasons import reasons
from tests.breaking.services import (
    Supervisor,
    database_service,
    of_dagster,
    processes_of,
    s3_behind_a_proxy,
    settings_of_dagster,
)
from tests.fault_proxy import ANSWERS, BROKEN, PERMANENT, Fault, FaultProxy
from tests.notification_servers import WebReceiver, web_receiver
from tests.pipelines.dev_server import REPOSITORY
from tests.postgres_server import Postgres
from tests.small_project import DATASET, EXPERIMENT, write_config

NAMES = ("night-0", "night-1", "night-2")
SCHEDULES = (
    {"name": "nightly", "does": "train", "cron": "* * * * *", "experiments": ["night-*"], "force": True},
    {"name": "weekly", "does": "evaluate", "cron": "1-59/6 * * * *", "experiments": ["*"], "force": True},
    {"name": "prune", "does": "prune", "cron": "*/5 * * * *", "older_than": "1h"},
)
SENSORS = ("notifications", "promote_champions")
SECRET_KEY = "unlikely-to-be-anywhere-else-7Zq"
DISK_MB = 200
# How often each is broken, among all.
WEIGHTS = {
    "step": 16,
    "run": 8,
    "daemon": 10,
    "code server": 10,
    "web server": 6,
    "database": 8,
    "S3": 16,
    "disk": 8,
}
STARTERS = {"run": "multiprocessing.spawn", "step": "multiprocessing.forkserver"}
ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
SETTLED_SECONDS, END_SECONDS = 120, 1800
# Of S3's faults: what no patience helps against, such as a credential that was withdrawn.
PERMANENT_SHARE = 0.15


@dataclass
class Site:
    """What is operated, and where."""

    folder: Path
    database: Postgres
    proxy: FaultProxy
    store: Store  # by S3's own address: what really lies there
    told: WebReceiver
    supervisor: Supervisor
    environment: dict[str, str]
    disk: Path | None
    instance: dg.DagsterInstance
    broken: collections.Counter = field(default_factory=collections.Counter)
    wrong: list[str] = field(default_factory=list)  # what did not hold
    published: dict[str, str] = field(default_factory=dict)  # the first version of each artefact
    began: float = field(default_factory=time.monotonic)

    def say(self, line: str) -> None:
        print(f"{time.monotonic() - self.began:7.1f} s  {line}", flush=True)

    def command(self, *words: str) -> subprocess.CompletedProcess:
        """A command of ours, as an operator gives it."""
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


# --- What is broken ---------------------------------------------------------------------------------------


def kill_process(site: Site, chance: random.Random, kind: str) -> str | None:
    """One of the runs' workers or of their steps' processes."""
    victims = [one for one in processes_of(Path(site.environment["DAGSTER_HOME"])) if _started_by(one, kind)]
    if not victims:
        return None
    victim = chance.choice(victims)
    with contextlib.suppress(psutil.NoSuchProcess):
        victim.kill()
    return f"process {victim.pid}"


def _started_by(process: psutil.Process, kind: str) -> bool:
    """The code server spawns the workers of runs, and these have a fork server for their steps."""
    try:
        return STARTERS[kind] in " ".join(process.cmdline())
    except psutil.Error:
        return False


def kill_service(site: Site, chance: random.Random, kind: str) -> str:
    service = site.supervisor.services[kind]
    service.kill()
    return f"process {service.process.pid}"


def fill_disk(site: Site, chance: random.Random, kind: str) -> str | None:
    if site.disk is None:
        return None
    filler, seconds = site.disk / "filler", chance.uniform(3, 10)
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    time.sleep(seconds)
    filler.unlink()
    return f"full for {seconds:.0f} s"


def disturb_s3(site: Site, chance: random.Random, kind: str) -> str:
    passing = sorted({*ANSWERS, *BROKEN} - PERMANENT - {"junk"})
    fault = chance.choice(sorted(PERMANENT) if chance.random() < PERMANENT_SHARE else passing)
    method = "GET" if fault in ("cut", "corrupt") else "*"
    times, seconds = chance.randint(1, 20), chance.uniform(2, 8)
    site.proxy.faults = [Fault(fault, method=method, times=times)]
    time.sleep(seconds)
    site.proxy.faults = []
    return f"{fault} for {seconds:.0f} s"


BREAK: dict[str, Callable[[Site, random.Random, str], str | None]] = {
    **dict.fromkeys(("step", "run"), kill_process),
    **dict.fromkeys(("daemon", "code server", "web server", "database"), kill_service),
    "disk": fill_disk,
    "S3": disturb_s3,
}


def break_things(site: Site, minutes: float, every: float, chance: random.Random) -> None:
    over = time.monotonic() + minutes * 60
    while time.monotonic() < over:
        time.sleep(chance.uniform(0.5, 1.5) * every)
        (kind,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        if what := BREAK[kind](site, chance, kind):
            site.broken[kind] += 1
            site.say(f"{kind}: {what}")
        look_at_the_store(site)


# --- What must hold ---------------------------------------------------------------------------------------


def look_at_the_store(site: Site) -> None:
    """Whatever was published stays published, and a training has the same bytes for ever."""
    for name in NAMES:
        for asset in ("trained_gan", "samples", "evaluation"):
            try:
                manifest = site.store.current(asset, name)
            except GanError as error:
                site.wrong.append(f"{asset}/{name}: {error}")
                continue
            place = f"{asset}/{name}"
            if manifest is None:
                if place in site.published:
                    site.wrong.append(f"{place} was there and is gone")
                continue
            before = site.published.setdefault(place, manifest.version)
            if asset == "trained_gan" and before != manifest.version:
                site.wrong.append(f"{place} has other bytes than before")


def compare(site: Site, undisturbed: Store) -> None:
    for asset, names in (("image_shards", (DATASET["name"],)), ("trained_gan", NAMES), ("evaluation", NAMES)):
        for name in names:
            manifest = site.store.current(asset, name)
            if manifest is None:
                site.wrong.append(f"{asset}/{name} was never made")
            elif manifest.version != undisturbed.require(asset, name).version:
                site.wrong.append(f"{asset}/{name} has other bytes than an undisturbed one")
            else:
                site.wrong.extend(site.store.problems(manifest, hashes=True))


def wait_for_the_end(site: Site) -> None:
    """Until no run has been under way, or begun, for two minutes."""
    calm_since, deadline = time.monotonic(), time.monotonic() + END_SECONDS
    while time.monotonic() < min(deadline, calm_since + SETTLED_SECONDS):
        under_way = [run for run in site.instance.get_runs() if run.status not in ENDED]
        if under_way:
            calm_since = time.monotonic()
        time.sleep(2)
    for run in site.instance.get_runs():
        if run.status not in ENDED:
            site.wrong.append(f"run {run.run_id} of {run.job_name} never ended: {run.status.value}")


def reason_of(site: Site, run: dg.DagsterRun) -> str:
    """What a user reads of a failed run."""
    of_type = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.PIPELINE_FAILURE}
    entries = site.instance.all_logs(run.run_id, of_type=of_type)
    steps = reasons(entry.dagster_event for entry in entries if entry.dagster_event.is_step_failure)
    ends = [entry.user_message or entry.message for entry in entries if entry.dagster_event.is_job_failure]
    return " | ".join(steps) or "".join(ends[-1:])


def look_at_the_runs(site: Site) -> None:
    runs = site.instance.get_runs()
    retried = {run.parent_run_id for run in runs}
    found: collections.Counter[str] = collections.Counter()
    for run in runs:
        if run.status != dg.DagsterRunStatus.FAILURE:
            continue
        reason = reason_of(site, run)
        if not reason:
            site.wrong.append(f"run {run.run_id} of {run.job_name} failed without a reason")
        if run.tags.get("dagster/will_retry") == "true" and run.run_id not in retried:
            site.wrong.append(f"run {run.run_id} of {run.job_name} was to be retried and was not: {reason}")
        found[_general(reason)] += 1
    statuses = collections.Counter(f"{run.job_name} {run.status.value}" for run in runs)
    print("\nRuns:", *(f"  {number:4}  {what}" for what, number in sorted(statuses.items())), sep="\n")
    print("Why they failed:", *(f"  {number:4}  {what}" for what, number in found.most_common()), sep="\n")


def _general(reason: str) -> str:
    """Without what is of one run alone."""
    reason = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{12,}", "…", " ".join(reason.split()))
    return re.sub(r"\d+", "N", reason)[:220]


def look_at_what_was_told(site: Site) -> None:
    bodies = {key: body for body, key in site.told.received}
    twice = len(site.told.received) - len(bodies)
    print(f"Told: {len(bodies)} causes, {twice} a second time")
    if twice > sum(site.broken.values()):
        site.wrong.append(f"{twice} notifications came twice, more than there were faults")
    told = " ".join(json.dumps(body) for body in bodies.values())
    for run in site.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])):
        if run.tags.get("dagster/will_retry") != "true" and run.run_id not in told:
            site.wrong.append(f"nobody was told that run {run.run_id} of {run.job_name} failed")


def look_for_secrets(site: Site) -> None:
    kept = {SECRET_KEY, site.database.password}
    for path in site.folder.rglob("*"):
        with contextlib.suppress(OSError):
            text = path.read_bytes() if path.is_file() else b""
            if any(secret.encode() in text for secret in kept):
                site.wrong.append(f"{path.relative_to(site.folder)} holds a secret")
    with sqlalchemy.create_engine(site.database.url()).connect() as connection:
        for (event,) in connection.execute(sqlalchemy.text("select event from event_logs")):
            if any(secret in event for secret in kept):
                site.wrong.append("the event log holds a secret")


# --- The whole --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of its own for what is to be full; None where nothing may be mounted."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(disk)]
    mounted = os.getuid() == 0 and subprocess.run(mount, check=False).returncode == 0
    try:
        yield disk if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", disk], check=True)


def write_configs(folder: Path, receiver: WebReceiver) -> None:
    often = {"checkpoint_every": 1000, "sample_every": 6000, "evaluate_every": 6000}
    write_config(folder, DATASET)
    for number, name in enumerate(NAMES):
        content = {**EXPERIMENT, "name": name, "seed": number, "length": {"images": 12_000}, **often}
        write_config(folder, content)
    (folder / "schedules").mkdir()
    for schedule in SCHEDULES:
        (folder / "schedules" / f"{schedule['name']}.yaml").write_text(json.dumps(schedule))
    told = {"tell": ["run_failed", "schedule_ended"], "webhook": {"url": "GAN_WEBHOOK_URL"}}
    link = {"ui": "http://127.0.0.1"}  # links name the runs
    (folder / "notifications.yaml").write_text(json.dumps(told | link))


def make_undisturbed(folder: Path, configs: Path) -> Store:
    """The same by plain commands, in a local store."""
    environment = {**os.environ, "GAN_STORE": str(folder / "undisturbed"), "GAN_CONFIGS": str(configs)}
    for words in (
        ["shard", DATASET["name"]],
        *([step, name] for name in NAMES for step in ("train", "sample", "evaluate")),
    ):
        command = [sys.executable, "-m", "gan_core", *words]
        subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, capture_output=True)
    return Store(folder / "undisturbed")


@contextlib.contextmanager
def site(folder: Path) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        proxy, direct = stack.enter_context(s3_behind_a_proxy())
        told = stack.enter_context(web_receiver())
        disk = stack.enter_context(small_disk(folder))
        database = Postgres(secrets.token_urlsafe())
        stack.callback(database.remove)
        write_configs(folder / "configs", told)
        room = disk or folder / "disk"
        home = room / "home"
        home.mkdir()
        (home / "dagster.yaml").write_text(settings_of_dagster())
        os.environ |= {
            "AWS_ENDPOINT_URL": direct,
            "AWS_ACCESS_KEY_ID": "soak",
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "DAGSTER_POSTGRES_URL": database.url(),
            "DAGSTER_HOME": str(home),
            "OMP_NUM_THREADS": "1",
        }
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": proxy.url,
            "GAN_STORE": "s3://gan/store",
            "GAN_CACHE": str(room / "cache"),
            "GAN_CONFIGS": str(folder / "configs"),
            "GAN_WEBHOOK_URL": told.url,
        }
        s3fs.S3FileSystem.clear_instance_cache()
        stack.callback(_end_all, home)
        supervisor = stack.enter_context(Supervisor().running())
        supervisor.add(database_service(database, folder / "database.log"))
        database.wait()
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(home)))
        store = Store("s3://gan/store", cache=folder / "cache-of-the-soak")
        yield Site(folder, database, proxy, store, told, supervisor, environment, disk, instance)


def _end_all(home: Path) -> None:
    """Runs that the code server had started."""
    for process in processes_of(home):
        with contextlib.suppress(psutil.Error):
            process.kill()


def begin(site: Site) -> None:
    """The services, and every schedule and sensor switched on."""
    services = of_dagster(site.folder, site.environment)
    for service in services.values():
        site.supervisor.add(service)
    for words in (["schedule", "start", "--start-all"], *(["sensor", "start", name] for name in SENSORS)):
        switch(site, words)


def wait_for_a_first_night(site: Site) -> None:
    """Until one GAN is trained and measured: what nobody operates cannot be lost."""
    until = time.monotonic() + END_SECONDS
    while site.store.current("evaluation", NAMES[0]) is None:
        assert time.monotonic() < until, "no first night came to its end"
        time.sleep(2)


def switch(site: Site, words: list[str]) -> None:
    command = ["dagster", *words, "-w", str(site.folder / "workspace.yaml")]
    for _ in range(20):  # the code server needs its time
        said = site.command(*command)
        if said.returncode == 0:
            return
        time.sleep(3)
    raise AssertionError(f"{' '.join(words)}: {said.stdout}{said.stderr}")


def soak(folder: Path, minutes: float, every: float, seed: int) -> int:
    (folder / "configs").mkdir()
    with site(folder) as here:
        undisturbed = make_undisturbed(folder, folder / "configs")
        here.say("made undisturbed; now the services")
        begin(here)
        wait_for_a_first_night(here)
        here.say(f"operated; for {minutes:g} minutes something breaks every {every:g} s")
        break_things(here, minutes, every, random.Random(seed))
        here.say("nothing is broken any more")
        for schedule in SCHEDULES:
            switch(here, ["schedule", "stop", f"{schedule['name']}_schedule"])
        wait_for_the_end(here)
        look_at_the_runs(here)
        for words in (["pipelines", "backfill", *NAMES], ["gan_core", "store", "verify"]):
            said = here.command(*words)
            here.say(f"{' '.join(words)}: status {said.returncode}")
            if said.returncode:
                here.wrong.append(f"{' '.join(words)}: {said.stdout[-1500:]}{said.stderr[-1500:]}")
        compare(here, undisturbed)
        look_at_what_was_told(here)
        look_for_secrets(here)
        return verdict(here)


def verdict(site: Site) -> int:
    print("\nBroken:", *(f"  {number:4}  {kind}" for kind, number in site.broken.most_common()), sep="\n")
    starts = {name: service.starts for name, service in site.supervisor.services.items()}
    print("Started:", ", ".join(f"{name} {number} times" for name, number in starts.items()))
    if site.disk is None:
        print("The disk was not filled: that takes root.")
    print(f"\n{len(site.wrong)} things did not hold", *site.wrong, sep="\n  ")
    return 1 if site.wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Operation with everything that breaks.")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--every", type=float, default=8, help="seconds between two faults, on average")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a new folder, for logs that stay")
    chosen = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        if chosen.keep:
            chosen.keep.mkdir(parents=True)
        folder = chosen.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sys.exit(soak(folder.resolve(), chosen.minutes, chosen.every, chosen.seed))
