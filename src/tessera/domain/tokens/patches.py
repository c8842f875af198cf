"""Images counted in square patches: OpenAI's 32 px patches, Claude's 28 px patches, and Claude's old area rule.

Exact integers throughout. OpenAI prints its formula with a square root and says that its own floating point can be
one token off; the integer form here never gave the smaller of the two counts, so it is also safe as a maximum.
"""

from math import isqrt

from tessera.domain.tokens.rules import ImageRule, Level, Sized

PATCH_PX = 32
CLAUDE_PATCH_PX = 28


def size_patch32(rule: ImageRule, level: Level, width: int, height: int) -> Sized:
    """OpenAI's patch rule: fit into the level's edge, then into its budget, then count patches and multiply.

    Source: OpenAI, images and vision guide, 2025 to September 2026 copies. Which way the short side is rounded when
    the image is fitted is not stated: nearest predicts, down and up bound the maximum.
    """
    long, short = (width, height) if width >= height else (height, width)
    edge = level.edge_max
    if edge is None or long <= edge:
        patches, long, short, known = _within_budget(long, short, level.budget)
        most = patches
    else:
        nearest = max(1, (2 * short * edge + long) // (2 * long))
        down = max(1, short * edge // long)
        up = -(-short * edge // long)
        most = _within_budget(edge, up, level.budget)[0]
        if down != up:
            most = max(most, _within_budget(edge, down, level.budget)[0])
        patches, long, short, known = _within_budget(edge, nearest, level.budget)
    tokens = -(-patches * rule.numerator // rule.denominator)
    tokens_max = tokens if most == patches else -(-most * rule.numerator // rule.denominator)
    if width < height:
        long, short = short, long
    return Sized(long, short, patches, tokens, tokens_max, known)


def shrink_to_patches(width: int, height: int, patches_max: int) -> tuple[int, int]:
    """The size at most `patches_max` patches large that OpenAI's rule scales an image to."""
    long, short = max(width, height), min(width, height)
    _, long, short, _ = _within_budget(long, short, patches_max)
    return (long, short) if width >= height else (short, long)


def _within_budget(long: int, short: int, budget: int | None) -> tuple[int, int, int, bool]:
    """(patches, long side, short side, known) after scaling down to the budget, where there is one."""
    patches = -(-long // PATCH_PX) * -(-short // PATCH_PX)
    if budget is None or patches <= budget:
        return patches, long, short, True
    columns = isqrt(budget * long // short)
    rows = isqrt(budget * short // long)
    if rows == 0:  # more than `budget` times as long as wide: the guides do not say; the budget is the bound
        return budget, min(long, PATCH_PX * budget), min(short, PATCH_PX), False
    if columns * short <= rows * long:
        short = max(1, PATCH_PX * columns * short // long)
        long = PATCH_PX * columns
    else:
        long = max(1, PATCH_PX * rows * long // short)
        short = PATCH_PX * rows
    return -(-long // PATCH_PX) * -(-short // PATCH_PX), long, short, True


def size_claude28(rule: ImageRule, _level: Level, width: int, height: int) -> Sized:
    """Claude's rule: the largest aspect-preserving size that fits edge and token limits, in 28 px patches.

    Source: Anthropic, vision and coordinates guides, August 2026 copies. Sides are padded up to whole patches.
    """
    long, short = (width, height) if width >= height else (height, width)
    if not _claude_fits(rule, long, short):
        low, high = 1, long
        while high > low + 1:
            middle = (low + high) // 2
            if _claude_fits(rule, middle, _short_side(middle, short, long)):
                low = middle
            else:
                high = middle
        long, short = low, _short_side(low, short, long)
    tokens = -(-long // CLAUDE_PATCH_PX) * -(-short // CLAUDE_PATCH_PX)
    if width < height:
        long, short = short, long
    return Sized(long, short, tokens, tokens, tokens)


def _claude_fits(rule: ImageRule, long: int, short: int) -> bool:
    columns, rows = -(-long // CLAUDE_PATCH_PX), -(-short // CLAUDE_PATCH_PX)
    return max(columns, rows) * CLAUDE_PATCH_PX <= rule.edge_max and columns * rows <= rule.tokens_max


def _short_side(long_new: int, short: int, long: int) -> int:
    """The short side that keeps the ratio, rounded half to even, at least 1."""
    whole, rest = divmod(long_new * short, long)
    if 2 * rest > long or (2 * rest == long and whole % 2 == 1):
        whole += 1
    return max(1, whole)


def size_claude_area(rule: ImageRule, _level: Level, width: int, height: int) -> Sized:
    """Claude's rule of 2024 and 2025: width x height / 750 after fitting, which its guides call approximate."""
    long, short = (width, height) if width >= height else (height, width)
    if long > rule.edge_max:
        short = max(1, (2 * short * rule.edge_max + long) // (2 * long))
        long = rule.edge_max
    area_max = rule.tokens_max * 750
    if long * short > area_max:
        long, short = max(1, isqrt(area_max * long // short)), max(1, isqrt(area_max * short // long))
    tokens = -(-long * short // 750)
    if width < height:
        long, short = short, long
    return Sized(long, short, None, tokens, tokens)
