"""No place of the exporting machine and no secret is told."""

import pytest

from gan_core.bundles.scrubbing import is_public, without_places


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/ada/My Photos/cats.zip", "…/cats.zip"),
        ("~/cats", "…/cats"),
        ("C:\\Users\\ada\\cats.zip", "…/cats.zip"),
        ("file:///home/ada/cats.zip", "…/cats.zip"),
        ("read /home/ada/cats.zip, then stop", "read …/cats.zip, then stop"),
        ("zip://a.png::/home/ada/cats.zip", "zip://a.png::…/cats.zip"),
        ("s3://bucket/cats.zip", "s3://bucket/cats.zip"),
        ("https://ada:pass@example.org/cats.zip", "https://***@example.org/cats.zip"),
        ("n=10 vs digits/train(5)@9f8e images=16x16x1/32x32x3", None),
        ("1 / N and a/b", None),
        ("", None),
    ],
)
def test_paths_and_passwords(text, expected):
    assert without_places(text) == (text if expected is None else expected)


def test_they_are_found_at_any_depth():
    content = {"a": [{"/home/ada/x": ("/home/ada/y", 3, None)}], "b": 1.5}
    assert without_places(content) == {"a": [{"…/x": ["…/y", 3, None]}], "b": 1.5}


@pytest.mark.parametrize("place", ["https://example.org/a.zip", "s3://bucket/a"])
def test_what_a_stranger_can_reach(place):
    assert is_public(place)


@pytest.mark.parametrize(
    "place",
    [None, "", "/a", "a.zip", "file:///a", "s3://b::/a", "https://u:p@e.org/a", "https://e.org/a?sig=abcdef"],
)
def test_what_a_stranger_cannot_or_must_not_reach(place):
    assert not is_public(place)
