"""Models, image rules, framing and list prices as dated, sourced rows (TOML), and their loader.

Always holds: a row is never edited, only closed and followed by another; the printed examples of a rule reproduce at
load time; two rows of one model never overlap. What a model costs or counts is data here, never code elsewhere.
"""
