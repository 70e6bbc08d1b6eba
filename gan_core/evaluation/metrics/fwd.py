"""The Fréchet wavelet distance (Veeramacheneni et al. 2024): of the images themselves, without a network."""

from typing import TYPE_CHECKING, Any

from gan_core.evaluation.figures import Figure
from gan_core.evaluation.metrics.base import (
    Comparison,
    Figures,
    Gatherer,
    Metric,
    Statistic,
    add_metric,
)

if TYPE_CHECKING:
    import numpy


def _gather(count: int, seed: int) -> Gatherer:
    from gan_core.evaluation.statistics.wavelets import GatheredPackets

    return GatheredPackets()


def _prepare(moments: Any) -> Any:
    from gan_core.evaluation.statistics.wavelets import PacketReference

    return PacketReference.of(moments)


def _to_arrays(reference: Any) -> "dict[str, numpy.ndarray]":
    return {name: getattr(reference, name) for name in ("mu", "sigma", "sigma_sqrt", "count")}


def _of_arrays(arrays: "dict[str, numpy.ndarray]") -> Any:
    from gan_core.evaluation.statistics.wavelets import PacketReference

    return PacketReference(arrays["mu"], arrays["sigma"], arrays["sigma_sqrt"], int(arrays["count"]))


# `PacketMoments`; of real images a `PacketReference`.
PACKETS = Statistic("packets", _gather, prepare=_prepare, to_arrays=_to_arrays, of_arrays=_of_arrays)


def compute(comparison: Comparison) -> Figures:
    return {"fwd": float(_distances(comparison).mean())}


def evidence(comparison: Comparison) -> "dict[str, numpy.ndarray]":
    """`packets` (P,): the distance of each packet, the coarsest first."""
    return {"packets": _distances(comparison)}


def _distances(comparison: Comparison) -> "numpy.ndarray":
    from gan_core.evaluation.statistics.wavelets import packet_distances

    real, generated = comparison.real[PACKETS], comparison.generated[PACKETS]
    return comparison.once("packet distances", lambda: packet_distances(real, generated))


def settings(comparison: Comparison) -> str:
    """The wavelet, and how many packets of how many coefficients there are."""
    packets, coefficients = comparison.real[PACKETS].mu.shape
    return f"fwd=haar {packets}x{coefficients}"


add_metric(
    "fwd",
    Metric(
        figures={
            "fwd": Figure(
                "FWD",
                "lower",
                "Fréchet wavelet distance (Veeramacheneni et al. 2024): the mean Fréchet distance over the "
                "bands of a Haar packet transform of the images. No network decides what counts, so that it "
                "is the same beside every extractor. Lower is better.",
            )
        },
        compute=compute,
        generated=(PACKETS,),
        real=(PACKETS,),
        variants=("test", "floor"),
        evidence=evidence,
        settings=settings,
        position=35,
    ),
)
