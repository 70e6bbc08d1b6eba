"""The code version of each step: raise it when the step's result changes for the same configuration.

Apart from the steps, so that Dagster's definitions can read it without importing torch.
"""

CODE_VERSIONS = {
    "raw_images": "1",
    "duplicates": "1",
    "image_shards": "1",
    "classifier": "2",
    "reference_statistics": "3",
    "trained_gan": "3",
    "samples": "1",
    "evaluation": "3",
    "untrained": "2",
    "analysis": "1",
    "chosen_analysis": "1",
    "external_evaluation": "1",
    "sweep": "1",
    "leaderboard": "6",
    "champion": "1",
    "answer": "2",
    "answers": "2",
    "report": "8",
}
