"""What training and evaluation came to: measures with intervals, curves, rollouts, and a model card per policy."""
