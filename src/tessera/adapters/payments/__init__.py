"""Companies that take money for us: one folder each, behind the port `Payments`."""
