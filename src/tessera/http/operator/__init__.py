"""Routes for operators of the whole installation: people with a session who are operators."""
