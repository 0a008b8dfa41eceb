"""A backbone on a dataset: probe, fine-tuning, predictions."""
