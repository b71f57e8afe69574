"""Serves a policy to robots over the network."""
