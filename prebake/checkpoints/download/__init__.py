"""A download: resumed, verified, shown while it runs, cancelled."""
