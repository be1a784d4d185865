"""Comes from the layer."""
