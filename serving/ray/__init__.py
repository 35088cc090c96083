"""Serving on Ray Serve, and all patches of the private parts of Ray and uvicorn."""
