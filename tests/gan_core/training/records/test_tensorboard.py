"""TensorBoard's files: what its own reader and torch's writer make of the same figures."""

import io
from pathlib import Path

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from torch.utils.tensorboard import SummaryWriter

from gan_core.training.records.tensorboard import TensorBoardLog

ROWS = [{"images_seen": 8, "d_loss": 1.25, "step": 1}, {"images_seen": 16, "d_loss": -1e-9, "step": 2}]


def scalars(folder: Path) -> list[tuple]:
    """(step, tag, value) of every scalar in the order of the file, whose checksums the reader verifies."""
    (file,) = folder.iterdir()
    events = list(LegacyEventFileLoader(str(file)).Load())
    return [(event.step, value.tag, value.simple_value) for event in events for value in event.summary.value]


def starts(folder: Path) -> list[tuple]:
    (file,) = folder.iterdir()
    events = LegacyEventFileLoader(str(file)).Load()
    return [(event.step, event.session_log.status) for event in events if event.HasField("session_log")]


def test_the_scalars_are_those_that_torch_writes(tmp_path):
    log = TensorBoardLog(tmp_path / "ours", 0)
    with SummaryWriter(tmp_path / "torch", purge_step=1) as writer:
        for row in ROWS:
            log.add(row, "training")
            for name in ("d_loss", "step"):
                writer.add_scalar(f"training/{name}", row[name], row["images_seen"])
    assert len(scalars(tmp_path / "ours")) == 4  # each is there at once
    log.close()
    assert scalars(tmp_path / "ours") == scalars(tmp_path / "torch")
    assert starts(tmp_path / "ours") == starts(tmp_path / "torch")


def test_samples_are_shown_as_a_grid(tmp_path):
    numbers = torch.Generator().manual_seed(0)
    log = TensorBoardLog(tmp_path, 0)
    for step, channels in ((100, 1), (200, 3)):
        images = torch.randint(256, (10, channels, 16, 16), generator=numbers, dtype=torch.uint8)
        log.add_samples(step, images)
        last = images
    log.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    first, second = events.Images("samples")
    assert (first.step, second.step) == (100, 200)
    picture = Image.open(io.BytesIO(second.encoded_image_string))
    assert picture.size == (second.width, second.height)
    assert picture.width > picture.height > 2 * 16
    whole = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    pixels = whole.view(picture.height, picture.width, 3).permute(2, 0, 1)
    assert torch.equal(pixels[:, :16, :16], last[0])


def test_a_resumed_run_replaces_what_lies_beyond_its_checkpoint(tmp_path):
    log = TensorBoardLog(tmp_path, 0)
    for seen in (8, 16, 24):
        log.add({"images_seen": seen, "d_loss": 1.0}, "training")
    del log  # killed
    resumed = TensorBoardLog(tmp_path, 16)
    resumed.add({"images_seen": 24, "d_loss": 2.0}, "training")
    resumed.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("training/d_loss")] == [(8, 1.0), (16, 1.0), (24, 2.0)]


@pytest.mark.parametrize("place", ["/proc/nowhere", "a-file/folder"])
def test_a_folder_that_cannot_be_written_is_told_once(tmp_path, caplog, place):
    (tmp_path / "a-file").write_text("")
    log = TensorBoardLog(tmp_path / place, 0)
    log.add(ROWS[0], "training")
    log.close()
    assert caplog.text.count("nothing more is written for TensorBoard") == 1
