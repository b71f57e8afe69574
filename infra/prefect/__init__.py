"""Prefect as this project runs it: its settings and the embedded server."""
