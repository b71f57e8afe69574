"""Experiments on the method: variants of a pipeline, measured alike over training seeds."""
