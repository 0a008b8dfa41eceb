"""Readers of published datasets, each from the layout of its original archive."""
