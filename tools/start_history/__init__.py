"""The weekly measurements of all images: a table, and a history with charts."""
