"""The pictures inside a page: stored ones, enlarged or shrunk."""

import base64
import functools
import io
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from gan_core.store import Manifest, Store

# A larger picture is shrunk to this many pixels and kept as JPEG: grids at 256x256 would be megabytes.
# WebP would be a third smaller, and takes ten times as long.
MAX_PICTURE_BYTES = 300_000
MAX_PICTURE_SIZE = (1024, 1536)
# Small pictures are enlarged by a whole factor to about this width, so that 16x16 digits can be seen.
PICTURE_WIDTH = 500
# Pages that show the same pictures are made one after the other.
REMEMBERED = 32


@dataclass(frozen=True)
class Picture:
    """An inline picture; `width` is how wide it is shown, in CSS pixels. Of one that moves, `still` is its
    first moment."""

    source: str
    width: int
    enlarged: bool = False
    still: str = ""


def stored_picture(store: Store, manifest: Manifest | None, name: str) -> Picture | None:
    """A picture of an artefact; None where it has none. Raises `StoreError` for a damaged one."""
    if manifest is None or name not in manifest.files:
        return None
    return _of_file(store.local(manifest, name), manifest.files[name].sha256)


def encoded_picture(image: Image.Image) -> Picture:
    """A picture that was drawn for the page."""
    output = io.BytesIO()
    image.save(output, "PNG", optimize=True)
    return _picture(output.getvalue(), image)


@functools.lru_cache(maxsize=REMEMBERED)
def _of_file(path: Path, sha256: str) -> Picture:
    """`sha256`: what the file at `path` has to hold, so that another one is another picture."""
    with Image.open(path, formats=("PNG",)) as image:
        return _picture(path.read_bytes(), image)


def _picture(content: bytes, image: Image.Image) -> Picture:
    """`content`: the image as a PNG."""
    kind = "png"
    if len(content) > MAX_PICTURE_BYTES:
        content, kind = _shrunk(image), "jpeg"
    factor = max(1, PICTURE_WIDTH // image.width)
    return Picture(inline_picture(content, f"image/{kind}"), image.width * factor, enlarged=factor > 1)


def _shrunk(image: Image.Image) -> bytes:
    smaller = image.convert("RGB")
    smaller.thumbnail(MAX_PICTURE_SIZE, Image.Resampling.LANCZOS)
    output = io.BytesIO()
    smaller.save(output, "JPEG", quality=85)
    return output.getvalue()


def inline_picture(content: bytes, kind: str) -> str:
    """A picture of this media type as the source of an HTML image, in which nothing has to be escaped."""
    return Markup(f"data:{kind};base64,{base64.b64encode(content).decode()}")
