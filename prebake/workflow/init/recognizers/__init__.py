"""The kinds of checkpoint that ``prebake init`` recognizes: one module for each."""
