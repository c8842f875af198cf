"""Several pictures side by side: how they differ in kind, light, sharpness, colour, shapes and text."""

from collections.abc import Sequence

from tessera.adapters.providers.sight import sentences
from tessera.adapters.providers.sight.observation import Observation
from tessera.adapters.providers.sight.sentences import joined, plural
from tessera.adapters.providers.sight.swatches import dominant


def compare(observations: Sequence[Observation]) -> str:
    """One paragraph a picture, then what sets them apart."""
    lines = [
        f"Picture {index}: {sentences.opening(seen)} {sentences.colours(seen)}"
        for index, seen in enumerate(observations, start=1)
    ]
    lines.append(" ".join([*differences(observations), sentences.limits(observations)]))
    return "\n\n".join(lines)


def differences(observations: Sequence[Observation]) -> list[str]:
    if all(seen == observations[0] for seen in observations):
        return ["All of them are the same picture, measure for measure."]
    told = [in_kind(observations), in_light(observations), in_sharpness(observations), in_colour(observations)]
    counts = [len(seen.shapes) for seen in observations]
    if max(counts) and len(set(counts)) > 1:
        listed = joined([f"{plural(n, 'shape')} in picture {i}" for i, n in enumerate(counts, start=1)])
        told.append(f"I count {listed}.")
    texts = [seen.text.content for seen in observations]
    if any(texts):
        told.append(f"They carry {'the same' if len(set(texts)) == 1 else 'different'} text.")
    return [part for part in told if part]


def in_kind(observations: Sequence[Observation]) -> str:
    kinds = [seen.kind for seen in observations]
    if len(set(kinds)) == 1:
        return ""
    listed = joined([f"picture {i} is {sentences.KINDS[kind]}" for i, kind in enumerate(kinds, start=1)])
    return f"They differ in kind: {listed}."


def in_light(observations: Sequence[Observation]) -> str:
    means = [(seen.light.mean, i) for i, seen in enumerate(observations, start=1)]
    (high, brightest), (low, darkest) = max(means), min(means)
    return (
        f"Picture {brightest} is the brightest (mean lightness {high:.1f}), picture {darkest} the darkest ({low:.1f})."
    )


def in_sharpness(observations: Sequence[Observation]) -> str:
    blurs = [
        (seen.sharpness.blur, i)
        for i, seen in enumerate(observations, start=1)
        if seen.sharpness.verdict != "undetermined"
    ]
    if len(blurs) < 2:
        return ""
    (low, crispest), (high, softest) = min(blurs), max(blurs)
    return f"Picture {crispest} has the sharpest edges (blur {low:.2f}), picture {softest} the softest ({high:.2f})."


def in_colour(observations: Sequence[Observation]) -> str:
    mains = [dominant(seen.palette).family for seen in observations]
    if len(set(mains)) == 1:
        return f"All share {mains[0]} as their leading colour."
    listed = joined([f"{main} in picture {i}" for i, main in enumerate(mains, start=1)])
    return f"Their leading colours are {listed}."
