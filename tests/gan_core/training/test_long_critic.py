"""A whole training with WGAN's long first critic steps and images of G's own."""

import pandas
import pytest

from gan_core.errors import ConfigError
from gan_core.training import train_gan
from tests.gan_core.training.test_critic_steps import arjovskys_loop


def test_a_whole_training_with_long_steps(store, dataset, make_shards, make_experiment):
    """Every row is taken after a step of G, and the length that is too short for one is told."""
    keys = {"n_critic_long": 3, "fresh_fakes": True, "generator_batch_factor": 2, "log_every": 1}
    keys["architecture"] = {"width": 4, "minibatch_stddev": True, "minibatch_stddev_group": 4}
    shards = make_shards(store)
    manifest = train_gan(store, make_experiment(**keys), dataset, shards)
    rows = pandas.read_parquet(store.local(manifest, "history.parquet"))
    steps = [step for step, follows in enumerate(arjovskys_loop(1, 3, 50), start=1) if follows]
    assert rows["step"].tolist() == [step for step in steps if step <= 100]
    assert rows[["d_loss", "g_loss", "g_gradient_norm"]].notna().all(axis=None)
    short = make_experiment(**keys, name="short", length={"images": 16})
    with pytest.raises(
        ConfigError, match="comes after 3 batches of 8: raise `length`, or lower `n_critic_long`"
    ):
        train_gan(store, short, dataset, shards)
