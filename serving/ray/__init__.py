"""Ray Serve, HAProxy and uvicorn: deployment, and every patch of their private parts."""
