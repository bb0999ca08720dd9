"""The result files of the gate: JSON Schema, Markdown, HTML, and the JSON of github-action-benchmark."""
