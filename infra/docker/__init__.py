"""Images, the compose file and the Docker pool's template."""
