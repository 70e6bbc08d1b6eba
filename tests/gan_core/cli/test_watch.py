"""`watch` as a command, on a training that has ended and on one that never began."""

import json


def test_watch_ends_with_a_training_that_has_ended(run, whole_store):
    out, _ = run("watch", "plain", *whole_store)
    first, last = out.splitlines()
    assert first.startswith("experiment plain, state evaluated, images seen 1,000 of 1,000 (100%), speed ")
    assert "images/s when it last trained, losses d_loss" in first
    assert last.startswith("plain has ended: ") and "far from real" in last
    out, _ = run("watch", "plain", "--once", "--json", *whole_store)
    assert json.loads(out)["images_seen"] == 1000
    table, _ = run("watch", "plain", "--once", *whole_store)
    assert [line.split()[0] for line in table.splitlines()][:2] == ["experiment", "state"]


def test_watch_says_what_to_do_where_nobody_trains(run, whole_store):
    out, _ = run("watch", "wide", *whole_store)
    assert out.splitlines()[-1] == "nobody trains wide: run `python -m gan_core train wide`"


def test_one_document_is_one_look(run, whole_store):
    _, err = run("watch", "plain", "--json", *whole_store, status=2)
    assert "--json goes with --once" in err
    _, err = run("watch", "plain", status=2)
    assert "there is no store at" in err
