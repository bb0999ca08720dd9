"""The messages of the Open Inference Protocol over gRPC. Only images with ``serving: {grpc: true}`` have this folder.

There is no generated code and no protobuf library (docs/decisions/0047): the messages are few, and large tensors are read in
place."""
