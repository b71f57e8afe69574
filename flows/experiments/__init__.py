"""Experiments on the method, as flows over the same artifacts as everything else."""
