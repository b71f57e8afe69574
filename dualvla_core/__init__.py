"""The DualVLA method and its data: typed, and free of Prefect, the network and any storage backend."""

__version__ = "0.1.0"
