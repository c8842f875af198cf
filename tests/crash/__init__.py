"""Every point between hold and settle at which a call can be cut off, found in the code itself.

`points` reads the source of the call path, names each await, yield and durable step in it, and loads it with a probe at
each; `play` has calls made that pass them; `__main__` cancels and kills a call at every one and looks at the money.
"""
