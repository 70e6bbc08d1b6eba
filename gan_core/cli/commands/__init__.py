"""The commands, one module each, in the order in which they are listed: `add(app)` says what one takes and
what runs."""

from gan_core.cli.commands import (
    analyse,
    check,
    compare,
    evaluate,
    export,
    leaderboard,
    list,
    new,
    reference,
    report,
    sample,
    shard,
    status,
    train,
    verify,
    watch,
)

COMMANDS = (
    *(list, status, check, new, shard, reference, train, watch, sample, evaluate, analyse, compare),
    *(leaderboard, report, export, verify),
)
