"""The Open Inference Protocol v2 over REST, with Triton's extensions. Imported at the first request that needs it.

The server process finds routes and models, and writes documents about them. The model process answers ``infer`` (the folder
``infer``, the only part with numpy).
"""
