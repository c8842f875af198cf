"""What providers inside this process share: the images of a call, the output cap, usage, and the reply itself.

Owns how an answer made here becomes a reply. Always holds: usage is true to the count (input as predicted, output as
counted by the tokenizer), and no answer is longer than the call's output cap.
"""

from tessera.adapters.providers.inside.composing import Draft, compose
from tessera.adapters.providers.inside.contents import image_contents, last_question, naming_images
from tessera.adapters.providers.inside.repeating import repeated_fields
from tessera.adapters.providers.inside.reply import InsideReply, reply_to

__all__ = [
    "Draft",
    "InsideReply",
    "compose",
    "image_contents",
    "last_question",
    "naming_images",
    "repeated_fields",
    "reply_to",
]
