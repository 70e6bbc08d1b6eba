"""Pictures of sums of latents, as figure 7 of Radford et al. 2016 shows them (see `kinds.arithmetic`)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from gan_core.analysis.latent_sums import Pool, Sums
    from gan_core.analysis.subject import Subject

SHOWN = 4
NEIGHBOURS, NEIGHBOUR_NOISE = 8, 0.25


def sums_png(subject: "Subject", pool: "Pool", sums: "Sums", z: "Tensor", asked: "Tensor | None") -> bytes:
    """The first few sums as the paper shows them: nobody has chosen among them."""
    from gan_core.analysis.latent_sums import means
    from gan_core.analysis.pictures import canvas
    from gan_core.images import encode_picture

    of, names = means(pool.latents, sums.terms), subject.classes
    of_asked = None if pool.asked is None else means(pool.asked, sums.terms)
    examples = []
    for i in range(min(SHOWN, len(z))):
        columns = {
            term: (
                subject.draw(
                    pool.latents[numbers[i]], None if pool.asked is None else pool.asked[numbers[i]]
                ),
                subject.draw(of[term][i : i + 1], None if of_asked is None else of_asked[term][i : i + 1]),
            )
            for term, numbers in sums.terms.items()
        }
        a, b = names[sums.first[i]], names[sums.second[i]]
        classes = None if asked is None else asked[i : i + 1]
        square = neighbourhood(subject, z[i : i + 1], classes)
        examples.append(example(columns, square, f"bright {a} - dark {a} + dark {b}"))
    width = max(one.width for one in examples)
    drawn = canvas(examples[0].mode, 2 * width + 24, -(-len(examples) // 2) * (examples[0].height + 16))
    for i, one in enumerate(examples):
        drawn.paste(one, (i % 2 * (width + 24), i // 2 * (one.height + 16)))
    return encode_picture(drawn)


def neighbourhood(subject: "Subject", z: "Tensor", classes: "Tensor | None") -> "Tensor":
    """The image of a latent (1, z_dim) amid eight of latents with a little noise: (9, C, H, W)."""
    import torch

    noise = torch.randn(NEIGHBOURS, z.shape[1], generator=torch.Generator().manual_seed(subject.seed))
    around = z + NEIGHBOUR_NOISE * noise
    latents = torch.cat([around[: NEIGHBOURS // 2], z, around[NEIGHBOURS // 2 :]])
    return subject.draw(latents, None if classes is None else classes.expand(len(latents), -1))


def example(columns: "dict[str, tuple[Tensor, Tensor]]", square: "Tensor", title: str) -> "Image.Image":
    """A column for each term, its samples and below them the image of their mean; then the result, amid its
    neighbours. What is a mean and what the sum stands below."""
    import torch

    from gan_core.analysis.pictures import LINE, canvas, scale_of, write
    from gan_core.images import GAP, grid_array, picture

    scale, side = scale_of(square), square.shape[-1]
    step = (side + GAP) * scale
    apart = 26
    strips = [picture(grid_array(torch.cat([samples, mean]), 1), scale) for samples, mean in columns.values()]
    right = picture(grid_array(square, 3), scale)
    height = max(strip.height for strip in strips)
    drawn = canvas(right.mode, 3 * (step + apart) + right.width, 3 * LINE + height)
    below = 2 * LINE + height + LINE // 2
    write(drawn, (0, LINE // 2), title, anchor="lm")
    for i, (term, strip) in enumerate(zip(columns, strips, strict=True)):
        left = i * (step + apart)
        write(drawn, (left + step // 2, LINE + LINE // 2), term, anchor="mm")
        drawn.paste(strip, (left, 2 * LINE))
        bottom = 2 * LINE + strip.height - side * scale // 2
        write(drawn, (left + step + apart // 2 - GAP, bottom), "-+="[i], anchor="mm")
        write(drawn, (left + strip.width // 2, below), "mean", anchor="mm")
    drawn.paste(right, (3 * (step + apart), 2 * LINE + height - right.height))
    write(drawn, (3 * (step + apart) + right.width // 2, below), "centre: the sum", anchor="mm")
    return drawn
