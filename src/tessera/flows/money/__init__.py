"""Money in and out: one file per use case. Figures come from the store; a payment service is only asked and heard."""
