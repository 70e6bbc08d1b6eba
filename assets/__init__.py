"""The Dagster assets: which `gan_core` step to call, and what to record of it.

No module here imports torch at its top: definitions load in a second without it.
"""

import warnings

import dagster as dg

from gan_core import remedies

# Messages name the action in Dagster's UI instead of a command.
remedies.in_dagster = True

# Asset checks with partitions are a preview in Dagster 1.13: requirements.lock pins the version tried.
warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*AssetCheckSpec.*")
