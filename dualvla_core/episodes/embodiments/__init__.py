"""Package data: one YAML file per known robot embodiment."""
