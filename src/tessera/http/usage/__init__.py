"""Routes that report usage: for keys of calls, for admin keys in OpenAI's shapes and for members.

Always holds: whose usage is reported follows from the key or session alone; no parameter can name another organization.
"""
