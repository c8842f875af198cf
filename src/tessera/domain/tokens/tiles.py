"""Images counted in tiles: OpenAI's 512 px tiles, Gemini's crop units, Llama's 560 px tiles; and flat counts."""

from tessera.domain.tokens.rules import ImageRule, Level, Sized

FIT_PX = 2048
SHORT_PX = 768
TILE_PX = 512


def size_tile512(rule: ImageRule, level: Level, width: int, height: int) -> Sized:
    """OpenAI's tile rule: fit into 2,048, bring the short side down to 768, count 512 px tiles; `low` is the base.

    Source: OpenAI, vision guide, 2024 copy to September 2026 copy. Small images are never enlarged. Whether the other
    side is rounded is not stated: down predicts, unrounded (the largest) bounds the maximum.
    """
    long, short = (width, height) if width >= height else (height, width)
    if level.tokens is not None:
        if level.edge_max is not None and long > level.edge_max:
            short = max(1, (2 * short * level.edge_max + long) // (2 * long))
            long = level.edge_max
        tiles, most = 0, 0
        tokens = tokens_max = level.tokens
    else:
        if (long <= FIT_PX and short > SHORT_PX) or (long > FIT_PX and FIT_PX * short > SHORT_PX * long):
            most = 2 * -(-3 * long // (2 * short))
            long, short = SHORT_PX * long // short, SHORT_PX
            tiles = 2 * -(-long // TILE_PX)
        elif long <= FIT_PX:
            tiles = most = -(-long // TILE_PX) * -(-short // TILE_PX)
        else:
            most = 4 * -(-4 * short // long)
            long, short = FIT_PX, max(1, FIT_PX * short // long)
            tiles = 4 * -(-short // TILE_PX)
        tokens = rule.base + tiles * rule.tile_tokens
        tokens_max = rule.base + max(tiles, most) * rule.tile_tokens
    if width < height:
        long, short = short, long
    return Sized(long, short, tiles, tokens, tokens_max)


def size_gemini_tile(rule: ImageRule, _level: Level, width: int, height: int) -> Sized:
    """Gemini 2.x: one tile up to 384 px a side, else crop units of two thirds of the short side.

    Source: Gemini API, image understanding guide, which calls the result approximate.
    """
    if width <= rule.edge_max and height <= rule.edge_max:
        tiles = 1
    else:
        unit = max(1, 2 * min(width, height) // 3)
        tiles = -(-width // unit) * -(-height // unit)
    return Sized(width, height, tiles, tiles * rule.tile_tokens, tiles * rule.tile_tokens)


def size_llama_tile(rule: ImageRule, _level: Level, width: int, height: int) -> Sized:
    """Llama 3.2 Vision as hosted at Together: up to two 560 px tiles a side. Source: Together, vision overview."""
    columns = min(rule.tiles_max, -(-width // rule.unit))
    rows = min(rule.tiles_max, -(-height // rule.unit))
    tokens = columns * rows * rule.tile_tokens
    return Sized(width, height, columns * rows, tokens, tokens)


def size_flat(rule: ImageRule, level: Level, width: int, height: int) -> Sized:
    """The same count for every image: the level's, or the rule's own."""
    tokens = rule.tokens_max if level.tokens is None else level.tokens
    return Sized(width, height, None, tokens, tokens)
