"""What runs inside a baked image. Imports the standard library, its runtime packages and itself; never prebake."""
