"""A closed walk through several latents, as an animation."""

from typing import TYPE_CHECKING

from gan_core.analysis.base import Analysis, Findings, add_analysis

if TYPE_CHECKING:
    from gan_core.analysis.subject import Subject

# So many images walk at once, each its own way; of a conditional generator each of its own class.
ROWS, COLUMNS = 2, 5
CORNERS, STEPS_BETWEEN = 4, 6


def look(subject: "Subject") -> Findings:
    import torch

    from gan_core.analysis.latents import lerp, path_of, walk
    from gan_core.analysis.pictures import animation_gif

    walkers = ROWS * COLUMNS
    corners = subject.latents(walkers * CORNERS, "walk").unflatten(0, (walkers, CORNERS))
    labels = torch.arange(walkers) % max(len(subject.classes), 1)
    between = path_of(subject.generator.latent)
    ways = [walk(of, STEPS_BETWEEN, between=between) for of in corners]
    paths = torch.stack(ways, dim=1)  # (frames, walkers, z_dim)
    classes = subject.one_hot(labels.repeat(len(paths)))
    frames = subject.draw(paths.flatten(0, 1), classes).unflatten(0, (len(paths), walkers))
    ways_are = "straight lines" if between is lerp else "great circles"
    return Findings(
        protocol=f"{walkers} closed walks along {ways_are} through {CORNERS} latents each, {STEPS_BETWEEN} "
        "steps between two",
        pictures={"walk.gif": animation_gif(frames, COLUMNS)},
    )


add_analysis(
    "walk",
    Analysis(
        label="Walk",
        question="What does the generator draw on a walk through latent space? Each image goes through "
        "several latents and back to the first; of a conditional generator it keeps its class.",
        figures={},
        look=look,
        position=30,
    ),
)
