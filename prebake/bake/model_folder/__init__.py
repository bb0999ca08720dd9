"""The folders that stages hand to one another: the exported folder, and ``/models`` with its manifest."""
