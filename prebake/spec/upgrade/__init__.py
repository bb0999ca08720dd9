"""Files of an earlier schema, rewritten for the present one."""
