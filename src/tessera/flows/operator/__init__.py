"""What only operators do: see what the whole installation earns. Nothing here moves money."""
