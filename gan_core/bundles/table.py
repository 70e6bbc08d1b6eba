"""What `verify` found as a text for a terminal. Imports no torch."""

from typing import TYPE_CHECKING

from gan_core.bundles.agreement import Row, Value

if TYPE_CHECKING:
    from gan_core.bundles.verify import Verification

HEADS = ("figure", "recorded", "measured again", "agreement", "why")


def table_text(result: "Verification") -> str:
    """Damaged files, checks, a line per figure with the numbers of its reasons, the reasons, a verdict."""
    reasons: dict[str, int] = {}
    parts = [_damages(result), _checks(result)]
    for extractor in dict.fromkeys(row.extractor for row in result.rows):
        rows = [row for row in result.rows if row.extractor == extractor]
        cells = [HEADS, *(_cells(row, reasons) for row in rows)]
        parts.append([f"figures by {extractor}:", *_aligned(cells)])
    parts.append([f"({number}) {reason}" for reason, number in reasons.items()])
    parts.append([f"note: {note}" for note in result.notes])
    parts.append([verdict(result)])
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def verdict(result: "Verification") -> str:
    """The last line: how many agree, and how."""
    counts = {}
    for row in result.rows:
        counts[row.agreement] = counts.get(row.agreement, 0) + 1
    how = ", ".join(f"{count} {agreement}" for agreement, count in counts.items()) or "no figure was measured"
    word = "all agree" if result.agrees else "DOES NOT AGREE"
    return f"{result.bundle}: {word} ({len(result.rows)} figures: {how})"


def _damages(result: "Verification") -> list[str]:
    return [f"damaged: {name} {problem}" for name, problem in result.damages.items()]


def _checks(result: "Verification") -> list[str]:
    return [f"{'ok' if check.agrees else 'NOT OK'}: {check.what}: {check.found}" for check in result.checks]


def _cells(row: Row, reasons: dict[str, int]) -> tuple[str, ...]:
    numbers = [reasons.setdefault(reason, len(reasons) + 1) for reason in row.why]
    why = ", ".join(f"({number})" for number in numbers)
    return row.figure, _number(row.recorded), _number(row.measured), row.agreement, why


def _number(value: Value) -> str:
    if value is None:
        return "—"
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)  # in a bundle may stand anything


def _aligned(cells: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADS))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
