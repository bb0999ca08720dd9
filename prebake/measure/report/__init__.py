"""Reports: ``report.json``, its summary and its pictures."""
