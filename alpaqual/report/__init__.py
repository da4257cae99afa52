"""Run -> Report -> Markdown, HTML, JSON, JUnit, workflow commands. Reads only."""
