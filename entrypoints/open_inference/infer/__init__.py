"""The inference request of the protocol, in the model process: from the bytes of a body to the bytes of an answer."""
