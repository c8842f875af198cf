"""What a palette's swatches say together; apart from how they are found, so that the server can put them into words
without the arrays only its workers need."""

from tessera.adapters.providers.sight.observation import Swatch


def families(palette: tuple[Swatch, ...]) -> dict[str, float]:
    """Share of each plain colour, largest first."""
    shares: dict[str, float] = {}
    for swatch in palette:
        shares[swatch.family] = shares.get(swatch.family, 0.0) + swatch.share
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def dominant(palette: tuple[Swatch, ...]) -> Swatch:
    """The largest swatch of the plain colour with the largest share."""
    family = next(iter(families(palette)))
    return next(swatch for swatch in palette if swatch.family == family)
