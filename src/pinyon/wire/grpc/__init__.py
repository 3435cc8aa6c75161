"""gRPC: frames, messages of `VectorService`, methods. Its own codec, so that no user needs grpcio or protobuf."""
