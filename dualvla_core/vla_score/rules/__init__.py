"""The offline judge: rules over the recorded trajectory. What it gives is a *rule score (proxy)*, no VLA Score."""
