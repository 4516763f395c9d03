"""What screens are made of; each file draws one thing."""
