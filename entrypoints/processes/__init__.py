"""Code of both processes: their channel, events and timeline of the start, status, log and exit."""
