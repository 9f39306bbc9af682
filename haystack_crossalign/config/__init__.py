"""Configuration files: rules for values, sections, and YAML whose errors name the line."""
