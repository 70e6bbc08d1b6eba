"""What the templates get: read from manifests, written as text."""
