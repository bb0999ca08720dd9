"""The page for people at ``/``, and the JSON that it shows. Imported by the first request that asks for it."""
