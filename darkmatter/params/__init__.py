"""What params.yaml may say, checked before any work. In: the YAML that conf/ composes to. Out: frozen models."""
