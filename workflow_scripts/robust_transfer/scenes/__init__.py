"""Scenes: images with objects, their readers and their cache."""
