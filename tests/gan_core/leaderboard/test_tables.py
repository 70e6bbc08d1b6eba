"""Tables of text, and how rows are grouped and sorted in them."""

import io

import pandas

from gan_core.leaderboard.leaderboard import column_types, leaderboard_csv, leaderboard_frame
from gan_core.leaderboard.tables import (
    leaderboard_groups,
    leaderboard_markdown,
    leaderboard_text,
    tables_with,
)


def row(name, dataset="digits", protocol="p", fid=None, rank=1, **values):
    described = {
        "architecture": "dcgan",
        "objective": "wasserstein-gp",
        "conditioning": "none",
        "seeds": 1,
        "verdict": "healthy",
        "note": "",
        "members": name,
    }
    shown = {"experiment": name, "dataset": dataset, "protocol": protocol, "fid": fid, "rank": rank}
    return {**dict.fromkeys(column_types()), **described, **shown, **values}


def test_rows_are_sorted_by_dataset_protocol_rank_and_fid_with_missing_last():
    rows = [
        row("f", "digits", "b", 1.0),
        row("e", "digits", "a", None, rank=2),
        row("d", "digits", "a", 1.0, rank=2),
        row("c", "digits", "a", 30.0),
        row("b", "digits", "a", 4.0),
        row("a", "mnist", "a", 0.5),
    ]
    expected = ["b", "c", "d", "e", "f", "a"]
    assert list(leaderboard_frame(rows)["experiment"]) == expected
    assert list(leaderboard_frame(rows[::-1])["experiment"]) == expected


def test_the_tables_of_a_choice_are_whole_and_no_others():
    rows = [
        row("a", "digits", "p", 1.0, members="a-seed-0 a-seed-1"),
        row("b", "digits", "p", 2.0, rank=2),
        row("c", "digits", "q", 1.0),
        row("d", "mnist", "p", 1.0),
    ]
    frame = leaderboard_frame(rows)
    assert list(tables_with(frame, ["a-seed-1"])["experiment"]) == ["a", "b"]
    assert list(tables_with(frame, ["c", "d"])["experiment"]) == ["c", "d"]
    assert list(tables_with(frame, ["a"])["experiment"]) == []


def test_groups_never_mix_datasets_or_protocols():
    frame = leaderboard_frame(
        [
            row("a", "digits", "p", 1),
            row("b", "digits", "q", 2),
            row("c", "mnist", "p", 3),
            row("d", "mnist", "p", 4),
        ]
    )
    groups = [
        (dataset, protocol, list(rows["experiment"])) for dataset, protocol, rows in leaderboard_groups(frame)
    ]
    assert groups == [("digits", "p", ["a"]), ("digits", "q", ["b"]), ("mnist", "p", ["c", "d"])]
    for write in (leaderboard_markdown, leaderboard_text):
        text = write(frame)
        tables = text.split("rotocol: ")[:-1]
        assert len(tables) == 3
        assert text.index("rotocol: q") > text.index("rotocol: p")


def test_an_interval_stands_behind_its_figure():
    frame = leaderboard_frame([row("a", fid=4.357, fid_low=4.1, fid_high=4.6), row("b", fid=7.0)])
    assert "4.36 [4.10, 4.60]" in leaderboard_text(frame)
    assert "| 4.36 \\[4.10, 4.60\\] |" in leaderboard_markdown(frame)


def test_a_note_has_a_column_where_there_is_one():
    quiet, noted = row("a", fid=1.0), row("b", fid=2.0, note="one seed: spread unknown")
    assert "note" not in leaderboard_text(leaderboard_frame([quiet]))
    text = leaderboard_text(leaderboard_frame([quiet, noted]))
    assert "note" in text and "one seed: spread unknown" in text


def test_markdown_and_text_show_missing_figures_as_dashes():
    frame = leaderboard_frame([row("a", fid=1.5), row("b")])
    for write in (leaderboard_markdown, leaderboard_text):
        text = write(frame)
        assert "—" in text and "1.50" in text
        assert not any(word in text.lower() for word in ("nan", "<na>", "none|", "null"))


def test_markdown_escapes_what_would_break_a_table():
    text = leaderboard_markdown(leaderboard_frame([row("a", protocol="x | <b>y</b>", fid=1)]))
    assert "x \\| \\<b\\>y\\</b\\>" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1


def test_text_columns_are_aligned():
    frame = leaderboard_frame([row("short", fid=1.0), row("a-much-longer-name", fid=1234.5)])
    heading, rule, *rows = [
        line for line in leaderboard_text(frame).splitlines() if "  " in line or "--" in line
    ]
    end = heading.index("FID ↓") + len("FID ↓")
    assert [line[:end].split()[-1] for line in rows[:2]] == ["1.00", "1,234.50"]
    assert len(rule) >= end


def test_csv_reads_back_as_the_same_frame():
    frame = leaderboard_frame([row("a", fid=1 / 3), row("b", fid=2e-17)])
    back = pandas.read_csv(io.BytesIO(leaderboard_csv(frame)), float_precision="round_trip")
    assert list(back["fid"]) == list(frame["fid"])
