"""The curation report: what was read, what kept its reasoning and why, as ``report.json`` and one HTML page."""
