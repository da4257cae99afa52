"""Read recipes: text -> Recipe. The only package that uses YAML and JSON Schema."""
