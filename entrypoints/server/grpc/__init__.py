"""gRPC in the server process: the service of the Open Inference Protocol, and that of health checks. Only images with
``serving: {grpc: true}`` have this folder."""
