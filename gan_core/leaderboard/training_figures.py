"""The figures of a training, for every table and the glossary."""

from gan_core.evaluation.figures import Figure, count
from gan_core.progress import format_seconds

# In the order of the report's glossary.
TRAINING_FIGURES = {
    "verdict": Figure(
        "Verdict",
        None,
        "What the guards say of the training at its end, and the FID of whether anything was learned: "
        "healthy, or what went wrong; (stopped) where a guard ended the run. Unknown where it was trained "
        "before there were guards.",
    ),
    "fid_in_training": Figure(
        "In-training FID",
        "lower",
        "A cheap FID of few samples, measured while training. It compares moments of one run and is not "
        "comparable with the FID of the leaderboard, which is of many more samples.",
    ),
    "fid_best": Figure("In-training FID, best", "lower", "The lowest in-training FID of a run."),
    "images_seen_best": Figure(
        "Images seen at the best", None, "Where the lowest in-training FID was measured.", count
    ),
    "diversity": Figure(
        "Diversity",
        "higher",
        "How far the samples are from their nearest neighbour, over the same distance of real images: near 1 "
        "they differ as much as real images do, near 0 they repeat themselves (mode collapse).",
    ),
    "images_seen": Figure(
        "Images seen",
        None,
        "Real images shown to the discriminator: the training's length, whatever the batch size.",
        count,
    ),
    "images_per_second": Figure(
        "Images/s",
        "higher",
        "Real images that training went through in a second, without the time of the in-training evaluation "
        "(which earlier versions counted), on whatever machine it was: each experiment's page names the "
        "device. Higher is faster, and says nothing about quality.",
        count,
    ),
    "seconds_training": Figure(
        "Time",
        "lower",
        "How long the whole training took, as h:mm:ss. It depends on the machine and on what else it did.",
        format_seconds,
    ),
    "parameters_generator": Figure("Weights of G", None, "How many weights the generator has.", count),
}
# Those with a column in the tables, each the mean over the seeds.
IN_TABLES = ("images_seen", "images_per_second", "seconds_training", "parameters_generator")
