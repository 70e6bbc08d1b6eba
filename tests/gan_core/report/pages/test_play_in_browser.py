"""The play page in a real browser, opened from a file without a network, beside its generator in PyTorch."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page

from gan_core.analysis.latents import path_of
from gan_core.images import to_uint8
from gan_core.report.pages.play import principal_directions
from gan_core.report.site import play_path
from gan_core.sampling import images_of, sample_latents
from tests.gan_core.report.browser import MARKS, Reader, reading
from tests.gan_core.report.pages.conftest import GENERATORS

TOLERANCE = 1e-4
MASK = 2**32 - 1
LAST_DRAWN = "#sample-15:not([aria-label='Not drawn yet'])"

pytestmark = MARKS


@pytest.fixture(scope="module")
def reader(pages) -> Iterator[Reader]:
    with reading(pages["dcgan"].path.parent.parent) as reader:
        yield reader


@pytest.fixture
def browser(reader) -> Browser:
    return reader.browser


@pytest.fixture
def opened(pages, browser):
    """Opens a page; in the end, no page asked for anything or said anything on its console."""
    said, asked, contexts = [], [], []

    def open_page(kind: str, **settings) -> Page:
        context = browser.new_context(
            offline=True, **{"viewport": {"width": 1400, "height": 900}, **settings}
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(pages[kind].path.as_uri())
        page.evaluate("play.ready")
        page.wait_for_selector(LAST_DRAWN)
        return page

    yield open_page
    assert said == []
    outside = [url for url in asked if not url.startswith("blob:")]  # a picture that is saved
    assert len(outside) == len(contexts)
    for context in contexts:
        context.close()


def numbers_of(seed: int, index: int) -> Iterator[float]:
    """sfc32 as the page documents it."""
    a, b, c, counter = seed, index, 0, 1
    for count in range(10**6):
        number = (a + b + counter) & MASK
        counter = (counter + 1) & MASK
        a, b = b ^ (b >> 9), (c + (c << 3)) & MASK
        c = ((((c << 21) | (c >> 11)) & MASK) + number) & MASK
        if count >= 20:
            yield (number + 0.5) / 2**32


def latent_of(generator, seed: int, index: int = 0) -> torch.Tensor:
    drawn, size = numbers_of(seed, index), generator.latent.size
    if generator.latent.distribution == "uniform":
        return torch.tensor([2 * next(drawn) - 1 for _ in range(size)])
    values = []
    while len(values) < size:
        radius, angle = math.sqrt(-2 * math.log(next(drawn))), 2 * math.pi * next(drawn)
        values += [radius * math.cos(angle), radius * math.sin(angle)]
    return torch.tensor(values[:size])


def drawn_by(generator, z: torch.Tensor, label: int = 0) -> torch.Tensor:
    return images_of(generator, z[None], torch.tensor([label]) if generator.n_classes else None)[0]


def run_in(page: Page, z: torch.Tensor, label: int = 0) -> torch.Tensor:
    script = "([z, label]) => play.run(Float32Array.from(z), label).then((image) => Array.from(image))"
    return torch.tensor(page.evaluate(script, [z.tolist(), label]))


def pixels_in(page: Page, canvas: str) -> np.ndarray:
    """The canvas as uint8 (side, side), grey."""
    script = """(id) => { const canvas = document.getElementById(id);
        const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return Array.from(all) }"""
    pixels = np.array(page.evaluate(script, canvas), dtype=np.uint8).reshape(32, 32, 4)
    assert (pixels[..., 3] == 255).all()
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()
    return pixels[..., 0]


def shows(page: Page, canvas: str, generator, z: torch.Tensor, label: int = 0) -> bool:
    """Whether a canvas has the image of a latent, up to the rounding of a level."""
    expected = to_uint8(drawn_by(generator, z, label), generator.image_range)[0].numpy()
    return np.abs(pixels_in(page, canvas).astype(int) - expected).max() <= 1


def settled(page: Page) -> None:
    """Until what was asked for is drawn: images are drawn one after the other."""
    page.wait_for_timeout(50)
    page.evaluate("play.run(play.latent(0), 0)")
    page.wait_for_timeout(150)


@pytest.mark.parametrize("kind", list(GENERATORS))
def test_images_and_latents_are_those_of_pytorch(pages, opened, kind):
    page, generator = opened(kind), pages[kind].generator
    low, high = generator.image_range
    for index, z in enumerate(sample_latents(generator, 6, seed=9)):
        label = index % max(generator.n_classes, 1)
        apart = run_in(page, z, label) - drawn_by(generator, z, label).flatten()
        assert apart.abs().max() * 2 / (high - low) <= TOLERANCE
    assert 0 <= page.evaluate("play.disagreement") <= TOLERANCE
    assert "e-" in page.text_content("#agreement-here")
    for seed, index in ((0, 0), (7, 3), (MASK, MASK)):
        latent = torch.tensor(page.evaluate("(which) => Array.from(play.latent(...which))", [seed, index]))
        torch.testing.assert_close(latent, latent_of(generator, seed, index), atol=1e-6, rtol=0)
    assert shows(page, "image", generator, latent_of(generator, 0))
    middle = path_of(generator.latent)(latent_of(generator, 0), latent_of(generator, 1), 3)[1]
    assert shows(page, "image-between", generator, middle)
    labels = [index % max(generator.n_classes, 1) for index in range(16)]
    for index in (0, 15):
        assert shows(page, f"sample-{index}", generator, latent_of(generator, 0, index), labels[index])


def test_nothing_is_wrong_with_it_at_any_width(reader):
    with reader.open(play_path("acgan")) as opened:
        opened.page.wait_for_selector(LAST_DRAWN)
        problems = opened.problems()
        for width, scheme in ((1400, "dark"), (800, "light"), (390, "dark")):
            opened.resize(width, scheme)
            problems += opened.problems(keyboard=width == 390)
        opened.page.emulate_media(media="print")
        problems += opened.problems(keyboard=False, axe=False)
    assert not problems, "\n".join(problems)


def test_every_control_is_reached_and_works_by_keyboard(pages, opened):
    page, generator = opened("acgan"), pages["acgan"].generator
    directions = principal_directions(generator)
    keys, focused = page.keyboard, "document.activeElement.id || document.activeElement.textContent"
    every = "Array.from(document.querySelectorAll(`a, input, select, button`), (x) => x.id || x.textContent)"
    expected = page.evaluate(every)
    reached = []
    for _ in expected:
        keys.press("Tab")
        reached.append(page.evaluate(focused))
    assert reached == expected
    assert len(expected) == 4 + 2 + 4 + 8 + 5 + 4 + 16

    page.focus("#seed")
    keys.press("Control+A")
    keys.type("12")
    keys.press("Enter")
    settled(page)
    assert shows(page, "image", generator, latent_of(generator, 12))
    page.focus("#class")
    keys.press("3")
    settled(page)
    assert shows(page, "image", generator, latent_of(generator, 12), 3)
    assert page.get_attribute("#image", "aria-label") == "Image of seed 12, class 3"
    page.focus("#direction-0")
    keys.press("End")
    settled(page)
    z = latent_of(generator, 12)
    moved = z + (4 - z @ directions[0]) * directions[0]
    assert shows(page, "image", generator, moved, 3)
    assert page.text_content("#direction-0-value") == "4.00"
    page.focus("#reset")
    keys.press("Enter")
    settled(page)
    assert shows(page, "image", generator, z, 3)
    page.focus("#scale")
    keys.press("Home")
    settled(page)
    for canvas in ("image", "image-first", "image-between", "image-second"):
        assert shows(page, canvas, generator, torch.zeros_like(z), 3)
    page.fill("#scale", "1")
    page.focus("#turns")
    keys.press("Space")
    page.focus("#new-grid")
    keys.press("Enter")
    settled(page)
    page.wait_for_selector("#sample-15[aria-label='Sample 15 of seed 1, class 3']")
    assert shows(page, "sample-15", generator, latent_of(generator, 1, 15), 3)
    page.focus("button:has(#sample-5)")
    keys.press("Space")
    settled(page)
    assert shows(page, "image", generator, latent_of(generator, 1, 5), 3)
    page.focus("#new")
    keys.press("Space")
    settled(page)
    assert page.input_value("#seed") == "2"
    assert shows(page, "image", generator, latent_of(generator, 2), 3)


def test_the_way_between_moves_and_stops(opened):
    page = opened("dcgan")
    page.focus("#animate")
    page.keyboard.press("Space")
    assert page.text_content("#animate") == "Stop"
    page.wait_for_selector("#way:not([aria-valuetext='50%'])")
    page.keyboard.press("Space")
    stopped = page.input_value("#way")
    settled(page)
    assert (page.text_content("#animate"), page.input_value("#way")) == ("Animate", stopped)
    page.fill("#second", "77")
    page.keyboard.press("Tab")
    settled(page)
    assert page.get_attribute("#image-second", "aria-label") == "Image of seed 77"


def test_with_less_motion_it_goes_a_step_at_a_time_and_uniform_latents_stay_in_their_cube(pages, opened):
    page, generator = opened("uniform", reduced_motion="reduce"), pages["uniform"].generator
    page.focus("#animate")
    for expected in (0.625, 0.75, 0.875, 1, 0, 0.125):
        assert page.text_content("#animate") == "Next step"
        page.keyboard.press("Enter")
        settled(page)
        assert abs(float(page.input_value("#way")) - expected) <= 0.006  # a step of the slider
    first, second = latent_of(generator, 0), latent_of(generator, 1)
    way = float(page.input_value("#way"))
    assert shows(page, "image-between", generator, (1 - way) * first + way * second)

    along, reach = principal_directions(generator)[1], float(page.get_attribute("#direction-1", "max"))
    page.focus("#direction-1")
    page.keyboard.press("End")
    settled(page)
    moved = first + (reach - first @ along) * along
    assert moved.abs().max() > 1
    assert shows(page, "image", generator, moved.clamp(-1, 1))


SAVED = {
    "#save-image": (1, ["image"]),
    "#save-between": (3, ["image-first", "image-between", "image-second"]),
    "#save-grid": (4, [f"sample-{index}" for index in range(16)]),
}


def test_pictures_are_saved_pixel_by_pixel(opened, tmp_path):
    page = opened("acgan", accept_downloads=True)
    for button, (columns, canvases) in SAVED.items():
        page.focus(button)
        with page.expect_download() as download:
            page.keyboard.press("Enter")
        assert download.value.suggested_filename.startswith("acgan-")
        download.value.save_as(tmp_path / "saved.png")
        with Image.open(tmp_path / "saved.png") as picture:
            saved = np.asarray(picture.convert("L"))
        factor = saved.shape[1] // columns // 32
        assert factor >= 4
        rows = np.array([pixels_in(page, canvas) for canvas in canvases]).reshape(-1, columns, 32, 32)
        expected = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
        assert np.array_equal(saved, expected.repeat(factor, axis=0).repeat(factor, axis=1))


def test_a_page_whose_images_are_others_says_so(pages, browser, tmp_path):
    """Another generator's images to be measured by, as if the browser drew wrongly."""
    part = r'id="check-images">'
    wrong, right = (pages[kind].path.read_text().split(part) for kind in ("resnet", "dcgan"))
    images = wrong[1].partition("<")[0]
    broken = tmp_path / "broken.html"
    broken.write_text(f"{right[0]}{part}{images}<{right[1].partition('<')[2]}")
    page = browser.new_page()
    page.goto(broken.as_uri())
    page.evaluate("play.ready")
    assert page.is_visible("#state")
    assert page.text_content("#state").startswith(
        "This browser does not draw what PyTorch draws: a value differs by"
    )
    page.close()


def test_a_page_that_cannot_open_its_generator_says_so(pages, browser, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(pages["dcgan"].path.read_text().replace('id="model">H4', 'id="model">H5'))
    page = browser.new_page()
    page.goto(broken.as_uri())
    page.wait_for_selector("#state.stopped")
    assert page.text_content("#state").startswith("The generator does not run in this browser: ")
    assert page.is_disabled("#seed")
    page.close()
