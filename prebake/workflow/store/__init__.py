"""``prebake cache``: what the store holds and what projects need of it."""
