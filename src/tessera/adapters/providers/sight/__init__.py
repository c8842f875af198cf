"""Tessera sight: an embedded image-to-text engine. Classical image analysis, no model weights, no network.

Always holds: the same bytes give the same words; a picture from a stranger is decoded in a worker process with limits
on memory and time, never in the server; what cannot be known is said to be unknown, never guessed.
`observation.py` is what is seen and `look.py` fills it, one file per sense (`palette`, `light`, `texture`, `shapes`,
`faces`, `codes`, `text`, `kind`, `composition`); `sentences.py`, `answers.py` and `fields.py` put it into words;
`engine.py` runs the workers.
"""
