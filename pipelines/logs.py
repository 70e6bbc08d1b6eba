"""A console log for people: the time, the run's partition and step, the message."""

import logging

import dagster as dg

from gan_core.bars import StderrHandler


class _ShortLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", None) or {}
        step = (meta.get("step_key") or "").removesuffix("_checks")
        partition = (meta.get("run_tags") or {}).get("dagster/partition", "")
        where = " ".join(part for part in (partition, step) if part)
        message = meta.get("orig_message") or record.getMessage()
        level = "" if record.levelno < logging.WARNING else f"{record.levelname} "
        return f"{self.formatTime(record, '%H:%M:%S')} {where + ': ' if where else ''}{level}{message}"


@dg.logger(config_schema={"log_level": dg.Field(str, default_value="INFO")}, description=__doc__)
def console(context: dg.InitLoggerContext) -> logging.Logger:
    """Prints one short line a message, from `log_level` on."""
    logger = logging.Logger("console", level=context.logger_config["log_level"])
    handler = StderrHandler()
    handler.setFormatter(_ShortLine())
    logger.addHandler(handler)
    return logger
