"""The process that serves: sockets, HTTP/1 connections, workers, signals and the log; it hands requests to `http`.

Always holds: what a client sends is bounded before it is read (heads, bodies, queues, time), a refusal under overload
costs next to nothing, and a signal to end lets calls that run come to theirs.
"""
