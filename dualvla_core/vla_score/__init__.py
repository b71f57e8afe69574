"""The VLA Score: how well a policy reasons, acts, and does what it says, per trajectory."""
