"""The commands, one module each, in the order in which they are listed: `add(app)` says what one takes and
what runs."""

from gan_core.cli.commands import (
    analyse,
    champion,
    compare,
    evaluate,
    export,
    leaderboard,
    new,
    play,
    reference,
    report,
    sample,
    shard,
    store,
    train,
    verify,
)
from gan_core.cli.commands.looking import check, devices, list, status, watch

COMMANDS = (
    *(list, status, check, watch, devices, new, shard, reference, train, sample, evaluate, analyse, compare),
    *(leaderboard, champion, report, play, export, verify, store),
)
