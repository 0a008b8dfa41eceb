"""Networks with their normalisation inside and their head apart."""
