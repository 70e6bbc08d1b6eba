"""The jobs that make the assets, one for each group: here, so that messages of the assets can name them."""

DATASET_JOB = "prepare_dataset"
EXPERIMENT_JOB = "run_experiment"
SWEEP_JOB = "run_sweep"
TABLES_JOB = "compare_experiments"
CHAMPION_JOB = "promote_champion"

JOB_OF_GROUP = {
    "datasets": DATASET_JOB,
    "experiments": EXPERIMENT_JOB,
    "sweeps": SWEEP_JOB,
    "results": TABLES_JOB,
    "champions": CHAMPION_JOB,
}
