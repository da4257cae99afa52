"""Text -> Recipe. The only room that reads YAML and JSON Schema."""
