"""What a team does with MLflow: runs of several kinds, a model, and an alias that moves. Run by the peer's own Python.

Invariant: everything goes through the real client; nothing here knows of Ratchet.
"""

import sys

import mlflow
from mlflow.entities import Dataset, DatasetInput
from mlflow.tracking import MlflowClient

VERSIONS = 3


def main(address: str, part: str) -> None:
    """Carry out one part of the session."""
    mlflow.set_tracking_uri(address)
    client = MlflowClient()
    {"runs": log_runs, "one": lambda c: move(c, 1), "two": lambda c: move(c, 2), "end": end_run}[part](client)


def log_runs(client: MlflowClient) -> None:
    """Log five runs, register two versions and let the alias say 1."""
    client.create_registered_model("churn")
    experiment = client.create_experiment("churn-training")
    for number, (source, status) in enumerate(
        [("LOCAL", "FINISHED"), ("NOTEBOOK", "FINISHED"), ("JOB", "FINISHED"), ("LOCAL", "FAILED"), ("LOCAL", "")]
    ):
        tags = {"mlflow.source.type": source, "mlflow.source.git.commit": f"{number:040x}", "mlflow.user": "person-1"}
        run = client.create_run(experiment, tags=tags, run_name=f"run-{number}")
        client.log_param(run.info.run_id, "depth", number)
        client.log_metric(run.info.run_id, "roc_auc", 0.7 + number / 100)
        log_dataset(client, run.info.run_id)
        if number < VERSIONS:
            version = client.create_model_version("churn", f"{run.info.artifact_uri}/model", run.info.run_id)
            client.set_model_version_tag("churn", version.version, "validation_status", "approved")
        if status:
            client.set_terminated(run.info.run_id, status)
    client.create_experiment("scratch")
    move(client, 1)


def log_dataset(client: MlflowClient, run_id: str) -> None:
    """Say what a run read."""
    dataset = Dataset(name="orders", digest="d17", source_type="http", source='{"url": "https://example.org/orders"}')
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, tags=[])])


def move(client: MlflowClient, version: int) -> None:
    """Let the alias say something else."""
    client.set_registered_model_alias("churn", "champion", str(version))


def end_run(client: MlflowClient) -> None:
    """End the run that was under way."""
    experiment = client.get_experiment_by_name("churn-training")
    (run,) = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    client.set_terminated(run.info.run_id, "FINISHED")


if __name__ == "__main__":
    main(*sys.argv[1:])
