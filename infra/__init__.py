"""The Quix Streams shell, services, configuration, databases, gRPC plumbing and metrics."""
