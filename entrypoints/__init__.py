"""The code that runs inside a baked image. It imports the standard library, its runtime packages and itself; never prebake."""
