"""A request body as the form of a model: read, within limits of memory, converted into the values of the fields."""
