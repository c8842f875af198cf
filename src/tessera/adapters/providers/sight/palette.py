"""The palette: pixels clustered in CIELAB, near clusters joined, each named."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera.adapters.providers.sight.colours import Floats, hex_of, lab_of, name_of
from tessera.adapters.providers.sight.observation import Swatch

CLUSTERS_MAX = 10
ROUNDS = 12
NEAR = 9.0
"""Clusters closer than this in CIELAB are one colour to most eyes."""
SHARE_MIN = 0.004


@dataclass(frozen=True)
class Clusters:
    """Cluster centres in CIELAB and RGB, each pixel's cluster, and each cluster's share; largest share first."""

    labels: NDArray[np.intp]
    lab: Floats
    rgb: NDArray[np.uint8]
    shares: Floats


def cluster(small: NDArray[np.uint8], lab: Floats) -> Clusters:
    """Deterministic k-means: seeded from the fullest cells of a CIELAB histogram, far from each other."""
    flat, colours = lab.reshape(-1, 3), small.reshape(-1, 3)
    cells = np.floor(flat / np.array([6, 8, 8], dtype=np.float32)).astype(np.int64) + 64
    keys, inverse, counts = np.unique(
        cells[:, 0] << 20 | cells[:, 1] << 10 | cells[:, 2], return_inverse=True, return_counts=True
    )
    weights = counts.astype(np.float64)
    means = np.stack([np.bincount(inverse, flat[:, i], len(keys)) / weights for i in range(3)], axis=1)
    owners, centres = k_means(means, weights)
    owners, centres = joined(owners, weights, centres)
    order = np.argsort(-np.bincount(owners, weights, len(centres)), kind="stable")
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    labels = rank[owners][inverse]
    totals = np.bincount(labels, minlength=len(order)).astype(np.float64)
    rgb = np.stack([np.bincount(labels, colours[:, i], len(order)) / totals for i in range(3)], axis=1)
    return Clusters(
        labels=labels.reshape(lab.shape[:2]),
        lab=centres[order].astype(np.float32),
        rgb=np.rint(rgb).astype(np.uint8),
        shares=(totals / totals.sum()).astype(np.float32),
    )


def k_means(points: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    centres = seeds(points, weights)
    owners = np.zeros(len(points), dtype=np.intp)
    for _ in range(ROUNDS):
        distance = ((points[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)
        owners = distance.argmin(axis=1)
        mass = np.bincount(owners, weights, len(centres))
        sums = np.stack([np.bincount(owners, weights * points[:, i], len(centres)) for i in range(3)], axis=1)
        moved = np.where(mass[:, None] > 0, sums / np.maximum(mass, 1)[:, None], centres)
        if np.abs(moved - centres).max() < 0.05:
            break
        centres = moved
    return owners, centres


def seeds(points: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    chosen = [int(weights.argmax())]
    nearest = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(CLUSTERS_MAX, len(points)):
        score = np.sqrt(weights) * np.minimum(nearest, 2500)  # Beyond 50 units, farther is not better.
        best = int(score.argmax())
        if nearest[best] < NEAR**2:
            break
        chosen.append(best)
        nearest = np.minimum(nearest, ((points - points[best]) ** 2).sum(axis=1))
    return points[chosen].copy()


def joined(
    owners: NDArray[np.intp], weights: NDArray[np.float64], centres: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Joins the two nearest clusters as long as they are near."""
    while len(centres) > 1:
        gaps = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(axis=2))
        np.fill_diagonal(gaps, np.inf)
        keep, drop = sorted(int(i) for i in np.unravel_index(int(gaps.argmin()), gaps.shape))
        mass = np.bincount(owners, weights, len(centres))
        if gaps[keep, drop] > NEAR and mass.min() > 0:
            break
        if mass.min() == 0:
            drop = int(mass.argmin())
            keep = 0 if drop else 1
        owners = np.where(owners == drop, keep, owners)
        if mass[keep] + mass[drop] > 0:
            centres[keep] = (centres[keep] * mass[keep] + centres[drop] * mass[drop]) / (mass[keep] + mass[drop])
        owners = owners - (owners > drop)
        centres = np.delete(centres, drop, axis=0)
    return owners, centres


def name_palette(clusters: Clusters) -> tuple[Swatch, ...]:
    """Named colours, largest share first; clusters of one name are one swatch with the larger one's value."""
    found: dict[str, Swatch] = {}
    for lab, rgb, share in zip(clusters.lab, clusters.rgb, clusters.shares, strict=True):
        name, family = name_of(lab_of(rgb))
        if name in found:
            old = found[name]
            found[name] = Swatch(
                name=name,
                family=family,
                hex=old.hex,
                share=old.share + float(share),
                lightness=old.lightness,
                chroma=old.chroma,
            )
        elif share >= SHARE_MIN or not found:
            chroma = float(np.hypot(lab[1], lab[2]))
            found[name] = Swatch(
                name=name, family=family, hex=hex_of(rgb), share=float(share), lightness=float(lab[0]), chroma=chroma
            )
    return tuple(sorted(found.values(), key=lambda swatch: (-swatch.share, swatch.name)))
