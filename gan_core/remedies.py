"""How a message tells its reader to make an artefact: the command to type, or the action in Dagster's UI."""

# What `assets` sets, so that a message in Dagster's UI names what can be done there.
in_dagster = False

# Which command makes which artefact of which partition.
COMMANDS = {
    "raw_images": "shard",
    "duplicates": "shard",
    "image_shards": "shard",
    "classifier": "reference",
    "reference_statistics": "reference",
    "trained_gan": "train",
    "samples": "sample",
    "evaluation": "evaluate",
    "analysis": "analyse",
    "chosen_analysis": "analyse",
    "external_evaluation": "leaderboard add",
    "leaderboard": "report",
    "answer": "compare",
    "answers": "report",
    "report": "report",
}
WITHOUT_PARTITION = ("leaderboard", "answers", "report")


def how_to_make(asset: str, partition: str, *, force: bool = False) -> str:
    """`run python -m gan_core shard digits --force`, or ``materialise image_shards of `digits` with force``.

    The end of a sentence that begins with what is wrong, as in "… is missing: run …".
    """
    if in_dagster:
        of_partition = "" if asset in WITHOUT_PARTITION else f" of `{partition}`"
        return f"materialise {asset}{of_partition}" + (" with `force: true`" if force else "")
    words = ["python -m gan_core", COMMANDS.get(asset, asset)]
    words += [] if asset in WITHOUT_PARTITION else [partition]
    return f"run `{' '.join(words + (['--force'] if force else []))}`"
