"""Figures of a study: each from a table, as vector, as pixels, and with its data."""
