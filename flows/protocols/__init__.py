"""Trials by name: what `dualvla play` plays."""
