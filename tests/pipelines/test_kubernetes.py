"""What runs ask of Kubernetes, by Dagster's own launcher and Kubernetes' own schema, without a cluster."""

import re
from typing import Any

import dagster as dg
import kubernetes
import kubernetes_validate
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import construct_dagster_k8s_job

from gan_core.config import load_configs
from pipelines.definitions import build_definitions
from pipelines.kubernetes import TAG, kubernetes_tags
from tests.pipelines.test_durability import REPOSITORY
from tests.small_project import DATASET, EXPERIMENT, write_config

VALUES = yaml.safe_load((REPOSITORY / "deploy" / "kubernetes" / "values.yaml").read_text())
KUBERNETES = "1.34"
NOWHERE = {
    "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "nobody", "user": {}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "nobody"}}],
    "current-context": "none",
}


def in_snake_case(value: Any, levels: int) -> Any:
    """As the chart writes its values into dagster.yaml; what is Kubernetes' own is left as it is."""
    if not isinstance(value, dict) or levels == 0:
        return value
    return {
        re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", key): in_snake_case(each, levels - 1)
        for key, each in value.items()
    }


@pytest.fixture
def launcher(tmp_path) -> K8sRunLauncher:
    """Of the shipped values, with the names that the chart makes itself, and without a cluster."""
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(NOWHERE))
    config = in_snake_case(VALUES["runLauncher"]["config"]["k8sRunLauncher"], 3) | {
        "instance_config_map": "instance",
        "postgres_password_secret": "secret",
        "service_account_name": "account",
        "load_incluster_config": False,
        "kubeconfig_file": str(tmp_path / "kubeconfig"),
    }
    processed = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), config)
    assert processed.success, processed.errors
    return K8sRunLauncher(**processed.value)


def job_of(launcher: K8sRunLauncher, run: dg.DagsterRun) -> dict:
    """The Job of Kubernetes for a run, valid by Kubernetes' schema."""
    context = launcher.get_container_context_for_run(run)
    job = construct_dagster_k8s_job(
        context.get_k8s_job_config("gan-pipelines:local", launcher),
        args=["dagster", "api", "execute_run"],
        job_name="a-run",
        pod_name="a-run",
        component="run_worker",
        user_defined_k8s_config=context.run_k8s_config,
        env_vars=[{"name": "DAGSTER_RUN_JOB_NAME", "value": run.job_name}],
    )
    document = kubernetes.client.ApiClient().sanitize_for_serialization(job)
    kubernetes_validate.validate(
        {"apiVersion": "batch/v1", "kind": "Job", **document}, KUBERNETES, strict=True
    )
    return document


@pytest.mark.parametrize(
    ("words", "gpus", "processes"),
    [([], None, None), (["gpu"], 1, None), (["fast", "gpu-4", "gpu"], 4, "4"), (["gpu-0"], 0, None)],
)
def test_a_run_of_an_experiment_asks_for_its_gpus(tmp_path, launcher, words, gpus, processes):
    write_config(tmp_path, DATASET)
    write_config(tmp_path, {**EXPERIMENT, "tags": words})
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(load_configs(tmp_path)).resolve_job_def("run_experiment")
        tags = dict(job.partitioned_config.get_tags_for_partition_key("plain", job.name))
        assert (TAG in tags) == (gpus is not None)
        run = instance.create_run_for_job(job, tags=tags)
    (container,) = job_of(launcher, run)["spec"]["template"]["spec"]["containers"]
    limits = {"memory": "32Gi"} | ({} if gpus is None else {"nvidia.com/gpu": str(gpus)})
    assert container["resources"] == {"limits": limits}
    assert {each["name"]: each.get("value") for each in container["env"]}.get("GAN_PROCESSES") == processes


def test_words_that_only_begin_like_it_are_no_gpus():
    assert kubernetes_tags(["gpus", "gpu-", "gpu-2x", "my-gpu"]) == {}
