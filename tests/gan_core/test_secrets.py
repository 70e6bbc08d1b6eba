import json
import logging
import pickle
import traceback

import pytest

from gan_core import secrets
from gan_core.errors import SourceError
from gan_core.secrets import has_secret, hidden, masked, masked_in, revealed, without_secrets

WITHOUT = [
    "/data/photos.zip",
    "photos/a@2x.zip",
    "s3://bucket/prefix/photos.zip",
    "s3://bucket/a?versionId=abc",
    "https://example.org/photos.zip",
    "https://example.org:8080/photos@2x.zip",
    "http://[::1]:80/a@b.zip",
    "https://example.org/get?file=photos.zip&expires=never",
    "sftp://me@example.org/photos",
    "https://example.org/object?key=animals/cats-of-2026.zip",
    "https://example.org/object?key=train-images-idx3-ubyte&part=1",
]
MASKED = {
    "http://me:pa55word@example.org/x.zip": "http://***@example.org/x.zip",
    "http://me:pa@55@example.org/x@2.zip": "http://***@example.org/x@2.zip",
    "http://me:pa/55?w#d@example.org/x.zip": "http://***@example.org/x.zip",
    "https://ghp_0123456789@example.org/x.zip": "https://***@example.org/x.zip",
    "sftp://me:pa55word@example.org/photos": "sftp://me:***@example.org/photos",
    "zip://a.png::https://me:pa55word@example.org/x.zip": "zip://a.png::https://***@example.org/x.zip",
    "https://example.org/x.zip?token=s3cret": "https://example.org/x.zip?token=***",
    "https://example.org/x?file=a.zip&access_token=s3cret": "https://example.org/x?file=a.zip&access_token=***",
    "https://example.org/x?api_key=s3cret&file=a": "https://example.org/x?api_key=***&file=a",
    "https://example.org/x.zip?key=AIzaSyA_0123456789-abcdef&alt=media": (
        "https://example.org/x.zip?key=***&alt=media"
    ),
    "https://b.s3.amazonaws.com/x.zip?X-Amz-Date=2026&X-Amz-Signature=ab%2Fcd&part=1": (
        "https://b.s3.amazonaws.com/x.zip?X-Amz-Date=***&X-Amz-Signature=***&part=1"
    ),
    "https://b.s3.amazonaws.com/x.zip?AWSAccessKeyId=A1&Expires=17&Signature=a%2Fb": (
        "https://b.s3.amazonaws.com/x.zip?AWSAccessKeyId=***&Expires=***&Signature=***"
    ),
    "https://a.blob.core.windows.net/c/x.zip?sv=2024&se=2026&sp=r&sig=a%2Fb%3D": (
        "https://a.blob.core.windows.net/c/x.zip?sv=***&se=***&sp=***&sig=***"
    ),
}


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(secrets, "_secrets", set())
    monkeypatch.setattr(secrets, "_urls", {})


@pytest.mark.parametrize("url", WITHOUT)
def test_a_url_without_a_secret_stays_as_it_is(url):
    assert masked(url) == hidden(url) == url
    assert not has_secret(url)


@pytest.mark.parametrize("url", MASKED)
def test_what_authorises_or_signs_is_masked_and_known_to_this_process(url):
    assert masked(url) == MASKED[url]
    assert masked(masked(url)) == masked(url)
    assert revealed(MASKED[url]) == url


def test_a_url_signed_anew_is_the_same():
    first = "https://h/x.zip?X-Amz-Date=20260101&X-Amz-Expires=60&X-Amz-Signature=aaaa"
    assert masked(first) == masked(first.replace("20260101", "20270101").replace("aaaa", "bbbb"))
    assert masked(first) != masked(first.replace("x.zip", "y.zip"))


def test_a_masked_url_is_found_among_those_that_are_known():
    url = "https://h/x.zip?token=s3cret"
    assert revealed("https://h/x.zip?token=***") is None
    assert revealed("https://h/x.zip?token=***", [None, "/data", url]) == url
    assert revealed("/data") == "/data"


def test_what_was_masked_is_hidden_wherever_it_stands():
    masked("http://me:pa%2F55word@example.org/x.zip?token=s3cret")
    for text in ("pa%2F55word", "pa/55word", "s3cret", "?token=other"):
        assert hidden(f"no host {text}: here") == hidden(f"no host {text}: here").replace(text, "***")
        assert text not in hidden(f"no host {text}: here")
    assert hidden("https://h/x?token=s3cret: the server answered 404. Then") == (
        "https://h/x?token=***: the server answered 404. Then"
    )


def test_every_text_of_a_structure_is_hidden():
    content = {"a": ["http://me:pa55word@h/x", 1, None], "b": {"c": ("https://h/?sig=s3cret",)}}
    text = json.dumps(masked_in(content))
    assert "pa55word" not in text and "s3cret" not in text
    masked("https://me:train@h/x")
    for content in ({"a": [1, True, None]}, {"shards": ["train-000000.tar"]}):
        assert masked_in(content) == content


def test_an_error_of_the_users_never_tells_a_secret():
    error = SourceError("http://me:pa55word@h/x.zip: refused")
    assert str(error) == "http://***@h/x.zip: refused" == str(pickle.loads(pickle.dumps(error)))


def test_causes_that_tell_a_secret_are_cut_off_and_others_stay():
    def fail():
        try:
            try:
                raise ValueError("harmless")
            except ValueError as error:
                raise OSError("http://me:pa55word@h/x.zip is bad") from error
        except OSError as error:
            raise SourceError("no images") from error

    with pytest.raises(SourceError) as caught:
        fail()
    assert "pa55word" in "".join(traceback.format_exception(caught.value))
    assert without_secrets(caught.value) is caught.value
    assert "pa55word" not in "".join(traceback.format_exception(caught.value))

    innocent = SourceError("no images")
    innocent.__cause__ = ValueError("harmless")
    assert isinstance(without_secrets(innocent).__cause__, ValueError)


def test_a_bugs_own_message_is_masked():
    error = without_secrets(KeyError("http://me:pa55word@h/x.zip"))
    assert "pa55word" not in str(error) and "KeyError" in str(error)


def test_what_is_logged_is_masked(caplog):
    with caplog.at_level(logging.INFO, "gan_core"):
        logging.getLogger("gan_core").info("fetching %s", "http://me:pa55word@h/x.zip")
    assert caplog.messages == ["fetching http://***@h/x.zip"]
