"""Multi-scale structural similarity of pairs of images (Wang, Simoncelli and Bovik 2003)."""

import torch
from torch.nn import functional

# Of the paper: the weights of five scales, the finest first; the window, its deviation; and the constants
# that keep quotients of flat images finite, for values of 0 to 255.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, DEVIATION = 11, 1.5
LUMINANCE, CONTRAST = (0.01 * 255) ** 2, (0.03 * 255) ** 2
PAIRS = 64


def window_of(side: int) -> int:
    """11, as in the paper, or the largest odd number of pixels that smaller images have."""
    return min(WINDOW, side - (side + 1) % 2)


def scales_of(side: int) -> int:
    """How many scales of halved images hold a window: five for 176 pixels and more, one for fewer than 22."""
    scales = 1
    while scales < len(WEIGHTS) and side >> scales >= window_of(side):
        scales += 1
    return scales


def ms_ssim(
    x: torch.Tensor, y: torch.Tensor, *, window: int | None = None, scales: int | None = None
) -> torch.Tensor:
    """MS-SSIM of each pair of images (N, C, H, W), of values 0 to 255: float64 (N,), 1 for equal images.

    Fewer than five scales share the weight of the others. Negative contrasts count as 0, as a power
    of them is no number. By default window and scales are as `window_of` and `scales_of` the shorter side.
    """
    side = min(x.shape[-2:])
    window, scales = window or window_of(side), scales or scales_of(side)
    weights = torch.tensor(WEIGHTS[:scales], dtype=torch.float64)
    if scales < len(WEIGHTS):  # all five are 1.0001, as the paper prints them
        weights = weights / weights.sum()
    parts = zip(x.split(PAIRS), y.split(PAIRS), strict=True)
    return torch.cat([_of_pairs(a.float(), b.float(), window, weights) for a, b in parts])


def _of_pairs(x: torch.Tensor, y: torch.Tensor, window: int, weights: torch.Tensor) -> torch.Tensor:
    kernel = torch.exp(-((torch.arange(window, dtype=torch.float32) - window // 2) ** 2) / (2 * DEVIATION**2))
    kernel = kernel / kernel.sum()
    product = torch.ones(x.shape[:2], dtype=torch.float64)
    for number, weight in enumerate(weights):
        if number:
            x, y = (_halved(images) for images in (x, y))
        luminance, contrast = _similarities(x, y, kernel)
        last = number == len(weights) - 1
        product *= (contrast * luminance if last else contrast).mean(dim=(2, 3)).double().relu() ** weight
    return product.mean(dim=1)


def _similarities(
    x: torch.Tensor, y: torch.Tensor, kernel: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of luminance, and of contrast and structure, at each place where a window fits: (N, C, h, w) each."""
    of_x, of_y, squares_x, squares_y, products = (
        _averaged(values, kernel) for values in (x, y, x * x, y * y, x * y)
    )
    luminance = (2 * of_x * of_y + LUMINANCE) / (of_x**2 + of_y**2 + LUMINANCE)
    variances = squares_x - of_x**2 + squares_y - of_y**2
    return luminance, (2 * (products - of_x * of_y) + CONTRAST) / (variances + CONTRAST)


def _averaged(values: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Weighted by the window, down and across, without borders."""
    planes = values.flatten(0, 1)[:, None]
    planes = functional.conv2d(functional.conv2d(planes, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return planes.view(*values.shape[:2], *planes.shape[2:])


def _halved(images: torch.Tensor) -> torch.Tensor:
    """Averages of four pixels; a side of odd length is padded with zeros, as the reference does."""
    height, width = images.shape[-2:]
    return functional.avg_pool2d(images, 2, padding=(height % 2, width % 2))
