"""The training objective: the VLA loss and dual-teacher distillation, routed by the domain of the data."""
