"""A vector database that speaks Pinecone's API on machines that people own."""

__all__ = ["__version__"]

__version__ = "0.1.0"
